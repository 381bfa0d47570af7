with

rules as (

    select * from {{ ref('int_finetune__outcomes_counted') }}

),

-- Pairs, and their titles, before and after the rules that drop pairs. The
-- macro groups before it counts, which PostgreSQL does in parallel.
merged as (

    select counted.* from (
        {{ finetune.rows_and_titles(ref('int_finetune__pairs_deduplicated')) }}
    ) as counted

),

published as (

    {% if finetune.has_validation() %}
        select counted.* from (
            {{ finetune.rows_and_titles(ref('training_pairs')) }}
        ) as counted
    {% else %}
        select * from merged
    {% endif %}

),

-- After a rule on rows or titles, the rows that reach a later rule remain.
remaining as (

    select
        rules.*,
        case
            when rules.applies_to <> 'pair'
                then sum(rules.row_count) over later_rules
            when max(rules.position) over () = rules.position
                then published.row_count
            else merged.row_count
        end as rows_after,
        case
            when rules.applies_to <> 'pair'
                then sum(rules.title_count) over later_rules
            when max(rules.position) over () = rules.position
                then published.title_count
            else merged.title_count
        end as titles_after,
        sum(rules.row_count) over () as all_rows,
        sum(rules.title_count) over () as all_titles

    from rules
    cross join merged
    cross join published
    window
        later_rules as (
            order by rules.position desc
            rows between unbounded preceding and 1 preceding
        )

),

with_before as (

    select
        *,
        coalesce(lag(rows_after) over (order by position), all_rows)
            as rows_before,
        coalesce(lag(titles_after) over (order by position), all_titles)
            as titles_before

    from remaining

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
        vars,
        applies_to,
        condition

    from with_before

)

select * from funnel
