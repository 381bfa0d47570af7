with

rules as (

    select * from {{ ref('int_rules_ordered') }}

),

products as (

    select * from {{ ref('int_products_judged') }}

),

titles as (

    select * from {{ ref('int_titles_repeated') }}

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

counted as (

    select
        coalesce(title, '') as title,
        dropped_by,
        count(*) as row_count

    from products
    group by coalesce(title, ''), dropped_by

),

-- How far the rows of each title come: the position of the rule that drops
-- them, or of the last one when they are kept.
reached as (

    select
        counted.title,
        rules.position,
        counted.row_count

    from counted
    left join titles
        on counted.title = titles.title
    inner join rules
        on rules.rule = coalesce(
            counted.dropped_by,
            case
                when titles.title is null then 'title_repeated'
                else 'pair_distinct'
            end
        )

),

rows_reached as (

    select
        position,
        sum(row_count) as row_count

    from reached
    group by position

),

titles_reached as (

    select
        position,
        count(*) as title_count

    from (
        select
            title,
            max(position) as position
        from reached
        group by title
    ) as furthest
    group by position

),

-- What comes to a rule is all that reaches it or a later one.
before as (

    select
        rules.position,
        rules.rule,
        coalesce(
            sum(rows_reached.row_count) over (order by rules.position desc), 0
        ) as row_count,
        coalesce(
            sum(titles_reached.title_count) over (order by rules.position desc),
            0
        ) as title_count

    from rules
    left join rows_reached
        on rules.position = rows_reached.position
    left join titles_reached
        on rules.position = titles_reached.position

),

passed as (

    select
        before.position,
        before.rule,
        before.row_count as rows_before,
        coalesce(
            lead(before.row_count) over (order by before.position),
            result.row_count
        ) as rows_after,
        before.title_count as titles_before,
        coalesce(
            lead(before.title_count) over (order by before.position),
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

        -- Which build this is, so that an export can tell what it reads.
        '{{ invocation_id }}' as dbt_invocation_id,
        '{{ run_started_at.isoformat() }}' as built_at,
        '{{ build_vars() }}' as vars

    from passed

)

select * from funnel
