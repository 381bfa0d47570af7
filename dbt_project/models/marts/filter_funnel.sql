with

rules as (

    select * from {{ ref('int_products_counted') }}

),

pairs as (

    select * from {{ ref('int_pairs_deduplicated') }}

),

-- Grouped before they are counted, which PostgreSQL does in parallel.
result as (

    select
        coalesce(sum(row_count), 0) as row_count,
        count(*) as title_count

    from (
        select
            title,
            count(*) as row_count
        from pairs
        group by title
    ) as pairs_of_titles

),

-- What comes to a rule is all that reaches it or a later one.
before as (

    select
        *,
        sum(row_count) over (order by position desc) as rows_before,
        sum(title_count) over (order by position desc) as titles_before

    from rules

),

passed as (

    select
        before.*,
        coalesce(
            lead(before.rows_before) over (order by before.position),
            result.row_count
        ) as rows_after,
        coalesce(
            lead(before.titles_before) over (order by before.position),
            result.title_count
        ) as titles_after

    from before
    cross join result

),

funnel as (

    select
        position,
        rule,
        cast(rows_before as bigint) as rows_before,
        cast(rows_before - rows_after as bigint) as rows_dropped,
        cast(rows_after as bigint) as rows_after,
        cast(titles_before as bigint) as titles_before,
        cast(titles_before - titles_after as bigint) as titles_dropped,
        cast(titles_after as bigint) as titles_after,
        dbt_invocation_id,
        built_at,
        vars

    from passed

)

select * from funnel
