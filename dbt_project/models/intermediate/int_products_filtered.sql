with

products as (

    select * from {{ ref('int_products_judged') }}

),

filtered as (

    select
        uid,
        title,
        description

    from products
    where dropped_by is null

)

select * from filtered
