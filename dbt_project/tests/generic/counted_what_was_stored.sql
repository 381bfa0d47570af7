{#- The rows that meet every rule on rows and titles, where they are not as
    many as were merged into the pairs: a row is dropped by no rule and yet
    in no pair, or the raw table changed during the build. -#}
{% test counted_what_was_stored(model, pairs) %}

    with

    first_rule_on_pairs as (

        select
            rows_before,
            titles_before

        from {{ model }}
        where applies_to = 'pair'
        order by position
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
    from first_rule_on_pairs
    cross join stored
    where rows_before <> row_count or titles_before <> title_count

{% endtest %}
