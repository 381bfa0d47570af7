{#- Fails if the first rule of the funnel does not begin with all rows of the
    raw table: then product_outcomes lost a row, or has a rule that is not in
    the list of rules. -#}
{% test begins_with_every_raw_row(model, counted) %}

    with

    first_rule as (

        select
            rule,
            rows_before

        from {{ model }}
        order by position
        limit 1

    ),

    raw_rows as (

        select max(raw_row_count) as raw_row_count
        from {{ counted }}

    )

    select
        first_rule.rule,
        first_rule.rows_before,
        raw_rows.raw_row_count

    from raw_rows
    left join first_rule
        on true
    where coalesce(first_rule.rows_before, -1) <> raw_rows.raw_row_count

{% endtest %}
