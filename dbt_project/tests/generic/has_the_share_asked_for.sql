{#- The share of titles in validation, when it is off by more than four standard
    deviations of a fair draw. -#}
{% test has_the_share_asked_for(model, column_name, percent) %}

    with

    titles as (

        select
            count(distinct title) as title_count,
            count(distinct case when {{ column_name }} = 'validation' then title end)
                as validation_count

        from {{ model }}

    ),

    expected as (

        select
            title_count,
            validation_count,
            title_count * {{ percent }} / 100.0 as expected_count,
            sqrt(title_count * {{ percent }} / 100.0 * (1 - {{ percent }} / 100.0))
                as deviation

        from titles

    )

    select * from expected
    where abs(validation_count - expected_count) > 4 * deviation

{% endtest %}
