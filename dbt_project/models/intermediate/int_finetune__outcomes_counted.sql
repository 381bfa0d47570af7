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

-- A row reaches the rule that drops it, or the last rule if none does. This
-- names the model, not the CTE: PostgreSQL materializes a CTE that is named
-- twice, and then joins it in one process.
reachable as (

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

-- Of each title, the row that reaches the latest rule ranks first. PostgreSQL
-- sorts in parallel; with `group by` it would hash in one process, because most
-- titles have few rows.
ranked as (

    select
        reachable.position,
        row_number() over (
            partition by coalesce(outcomes.title, '')
            order by reachable.position desc
        ) as rank_in_title

    from outcomes
    inner join reachable
        on coalesce(outcomes.dropped_by, '') = reachable.dropped_by

),

summed as (

    select
        position,
        count(*) as row_count,
        count(case when rank_in_title = 1 then 1 end) as title_count

    from ranked
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

        -- The build, so that the export knows which one it reads.
        '{{ invocation_id }}' as dbt_invocation_id,
        '{{ run_started_at.isoformat() }}' as built_at,
        '{{ finetune.build_vars() }}' as vars

    from rules
    cross join raw_rows
    left join summed
        on rules.position = summed.position

)

select * from counted
