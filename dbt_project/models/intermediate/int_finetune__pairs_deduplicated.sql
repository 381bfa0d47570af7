with

products as (

    select * from {{ ref('int_finetune__products_judged') }}

),

titles as (

    select * from {{ ref('int_finetune__titles_judged') }}

),

keyed as (

    select
        products.uid,
        products.title,
        products.description,
        titles.title_occurrences,
        {{ finetune.pair_id('products.title', 'products.description') }}
            as pair_id,

        -- Search the texts once, so that no test need read them again; before
        -- the merge, because PostgreSQL works in parallel here and few rows are
        -- merged.
        {{ finetune.harms_in('products.description') }} as harms

    from products
    inner join titles
        on products.title = titles.title
    where products.dropped_by is null and titles.dropped_by is null

),

-- Grouped by the short key: the texts of a pair are equal, so min() takes any.
deduplicated as (

    select
        pair_id,
        min(title) as title,
        min(description) as description,
        min(title_occurrences) as title_occurrences,
        count(*) as copies,
        min({{ finetune.exact('uid') }}) as first_uid,
        min(harms) as harms

    from keyed
    group by pair_id
    order by pair_id

)

select * from deduplicated
