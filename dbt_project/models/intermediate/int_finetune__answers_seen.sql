with

pairs as (

    select * from {{ ref('int_finetune__pairs_deduplicated') }}

),

hashed as (

    select
        pair_id,
        md5(description) as answer,
        {{ finetune.is_for_validation('title') }} as is_for_validation

    from pairs
    {% if not finetune.has_validation() %}where false{% endif %}

),

-- Shared answers first: there are few, so the join below stays small.
shared as (

    select answer from hashed
    group by answer
    having
        count(case when is_for_validation then 1 end) between 1 and count(*) - 1

),

seen as (

    select hashed.pair_id
    from hashed
    inner join shared
        on hashed.answer = shared.answer
    where hashed.is_for_validation

)

select * from seen
