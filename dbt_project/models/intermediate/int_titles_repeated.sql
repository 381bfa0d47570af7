with

products as (

    select * from {{ ref('int_products_filtered') }}

),

repeated as (

    select
        title,
        count(*) as title_occurrences

    from products
    group by title
    having count(*) >= {{ number_var('min_title_occurrences', at_least=1) }}

)

select * from repeated
