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

-- The rule that each row reaches: the one that drops it, or else the last one.
-- The first place in a title has its row that comes furthest. PostgreSQL sorts in
-- parallel; groups, where most titles are on few rows, it would hash in one process.
reached as (

    select
        rules.position,
        row_number() over (
            partition by coalesce(products.title, '')
            order by rules.position desc
        ) as place_in_title

    from products
    left join titles
        on products.title = titles.title
    inner join rules
        on rules.rule = coalesce(
            products.dropped_by,
            case
                when titles.title is null then 'title_repeated'
                else 'pair_distinct'
            end
        )

),

summed as (

    select
        position,
        count(*) as row_count,
        count(case when place_in_title = 1 then 1 end) as title_count

    from reached
    group by position

),

counted as (

    select
        rules.position,
        rules.rule,
        coalesce(summed.row_count, 0) as row_count,
        coalesce(summed.title_count, 0) as title_count,

        -- Which build this is, so that an export can tell what it reads.
        '{{ invocation_id }}' as dbt_invocation_id,
        '{{ run_started_at.isoformat() }}' as built_at,
        '{{ build_vars() }}' as vars

    from rules
    left join summed
        on rules.position = summed.position

)

select * from counted
