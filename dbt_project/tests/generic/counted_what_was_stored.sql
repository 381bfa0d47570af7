{#- The funnel's count of rows that reach the last rule, where it is not the
    number of raw rows merged into the pairs: the raw table changed between the
    two moments of the build. -#}
{% test counted_what_was_stored(model, pairs) %}

    with

    last_rule as (

        select
            rows_before,
            titles_before

        from {{ model }}
        order by position desc
        limit 1

    ),

    -- Grouped first: counting distinct texts would sort them all.
    titles as (

        select
            title,
            sum(copies) as row_count

        from {{ pairs }}
        group by title

    ),

    stored as (

        select
            coalesce(sum(row_count), 0) as row_count,
            count(*) as title_count

        from titles

    )

    select *
    from last_rule
    cross join stored
    where rows_before <> row_count or titles_before <> title_count

{% endtest %}
