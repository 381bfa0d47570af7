with

products as (

    select * from {{ ref('stg_finetune__products') }}

),

judged as (

    select
        uid,
        title,
        description,
        {{ finetune.first_failed_rule(finetune.rules_on('row')) }} as dropped_by

    from products

)

select * from judged
