{#- Finds rules whose rows before, dropped and after do not add up, that do not
    begin with the rows after the previous rule, or that do not end at the
    pairs. -#}
{% test adds_up_to_pairs(model, pairs) %}

    with

    steps as (

        select
            position,
            rule,
            {% for unit in ['rows', 'titles'] %}
            {{ unit }}_before,
            {{ unit }}_dropped,
            {{ unit }}_after,
            lead({{ unit }}_before) over (order by position) as {{ unit }}_next,
            {% endfor %}
            row_number() over (order by position desc) as from_the_end

        from {{ model }}

    ),

    -- Grouped first, because count(distinct) would sort all texts.
    titles as (

        select
            title,
            count(*) as row_count

        from {{ pairs }}
        group by title

    ),

    result as (

        select
            coalesce(sum(row_count), 0) as row_count,
            count(*) as title_count

        from titles

    )

    select steps.*
    from steps
    cross join result
    where
        {% for unit, count in [('rows', 'row_count'), ('titles', 'title_count')] %}
        {{ unit }}_before - {{ unit }}_dropped <> {{ unit }}_after
        or {{ unit }}_after <> coalesce({{ unit }}_next, result.{{ count }})
        {% if not loop.last %}or{% endif %}
        {% endfor %}
        or (from_the_end > 1 and rows_next is null)

{% endtest %}
