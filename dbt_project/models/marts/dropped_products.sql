with

products as (

    select * from {{ ref('int_products_judged') }}

),

titles as (

    select * from {{ ref('int_titles_repeated') }}

),

reasons as (

    select
        products.uid,
        products.title,
        products.description,
        coalesce(
            products.dropped_by,
            case when titles.title is null then 'title_repeated' end
        ) as dropped_by

    from products
    left join titles
        on products.title = titles.title

),

dropped as (

    select * from reasons
    where dropped_by is not null

)

select * from dropped
