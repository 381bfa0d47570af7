with

rules as (

    select * from {{ ref('int_finetune__rules') }}

),

outcomes as (

    select * from {{ ref('product_outcomes') }}

),

raw_rows as (

    select count(*) as row_count
    from {{ source('raw', 'product') }}

),

-- A row reaches the rule that drops it, or the last one if none does. A CTE
-- named more than once PostgreSQL stores, and joins in one process alone.
reasons as (

    select
        position,
        rule as dropped_by

    from {{ ref('int_finetune__rules') }}
    union all
    select
        max(position) as position,
        '' as dropped_by

    from {{ ref('int_finetune__rules') }}

),

-- The first place in a title has its row that comes furthest. PostgreSQL sorts
-- in parallel; groups, where most titles are on few rows, it would hash in one
-- process.
reached as (

    select
        reasons.position,
        row_number() over (
            partition by coalesce(outcomes.title, '')
            order by reasons.position desc
        ) as place_in_title

    from outcomes
    inner join reasons
        on coalesce(outcomes.dropped_by, '') = reasons.dropped_by

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
        rules.applies_to,
        rules.condition,
        coalesce(summed.row_count, 0) as row_count,
        coalesce(summed.title_count, 0) as title_count,
        raw_rows.row_count as raw_row_count,

        -- Which build this is, so that an export can tell what it reads.
        '{{ invocation_id }}' as dbt_invocation_id,
        '{{ run_started_at.isoformat() }}' as built_at,
        '{{ finetune.build_vars() }}' as vars

    from rules
    cross join raw_rows
    left join summed
        on rules.position = summed.position

)

select * from counted
