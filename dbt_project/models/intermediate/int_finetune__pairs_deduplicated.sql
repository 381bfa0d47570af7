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
            as pair_id

    from products
    inner join titles
        on products.title = titles.title
    where products.dropped_by is null and titles.dropped_by is null

),

-- Grouped by the short key: the texts of a pair are equal, so any one serves.
deduplicated as (

    select
        pair_id,
        min(title) as title,
        min(description) as description,
        min(title_occurrences) as title_occurrences,
        count(*) as copies,
        min({{ finetune.exact('uid') }}) as first_uid

    from keyed
    group by pair_id
    order by pair_id

),

-- Looked through while they are at hand, so that no test need read them again.
looked_through as (

    select
        pair_id,
        title,
        description,
        title_occurrences,
        copies,
        first_uid,
        {{ finetune.harms_in('description') }} as harms

    from deduplicated

)

select * from looked_through
