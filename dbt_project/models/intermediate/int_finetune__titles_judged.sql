{% set rules = finetune.rules_on('title') %}

with

products as (

    select * from {{ ref('int_finetune__products_judged') }}

),

-- The titles that the first rule drops are most of all titles, and not stored.
judged as (

    select
        title,
        count(*) as title_occurrences,
        {{ finetune.first_not_met(rules[1:]) }} as dropped_by

    from products
    where dropped_by is null
    group by title
    {% if rules %}having {{ rules[0].condition }}{% endif %}

)

select * from judged
