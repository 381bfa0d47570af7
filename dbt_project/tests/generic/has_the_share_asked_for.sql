{#- Fails if the share of titles in validation differs from the percentage by
    more than four standard deviations of a random draw. -#}
{% test has_the_share_asked_for(model, column_name, percent) %}

    with

    titles as (

        select
            title,
            min({{ column_name }}) as side

        from {{ model }}
        group by title

    ),

    counted as (

        select
            count(*) as title_count,
            count(case when side = 'validation' then 1 end)
                as validation_count

        from titles

    ),

    expected as (

        select
            title_count,
            validation_count,
            title_count * {{ percent }} / 100.0 as expected_count,
            sqrt(title_count * {{ percent }} / 100.0 * (1 - {{ percent }} / 100.0))
                as deviation

        from counted

    )

    select * from expected
    where abs(validation_count - expected_count) > 4 * deviation

{% endtest %}
