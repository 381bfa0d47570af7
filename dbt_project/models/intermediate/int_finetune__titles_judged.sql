{% set rules = finetune.rules_on('title') %}

with

products as (

    select * from {{ ref('int_finetune__products_judged') }}

),

-- The first rule drops most titles, so they are not stored.
judged as (

    select
        title,
        count(*) as title_occurrences,
        {{ finetune.first_failed_rule(rules[1:]) }} as dropped_by

    from products
    where dropped_by is null
    group by title
    {% if rules %}having {{ rules[0].condition }}{% endif %}

)

select * from judged
