{#- Fails if the number of rows that meet every rule on rows and titles is not
    the number that was merged into the pairs: then a row has neither a rule nor
    a pair, or the raw table changed during the build. -#}
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

    -- Grouped first, because count(distinct) would sort all texts.
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
