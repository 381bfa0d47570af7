with

products as (

    select * from {{ ref('int_products_filtered') }}

),

titles as (

    select * from {{ ref('int_titles_repeated') }}

),

keyed as (

    select
        products.uid,
        products.title,
        products.description,
        titles.title_occurrences,
        md5(products.title || chr(31) || products.description) as pair_id

    from products
    inner join titles
        on products.title = titles.title

),

-- Grouped by the short key: the texts of a pair are equal, so any one serves.
deduplicated as (

    select
        pair_id,
        min(title) as title,
        min(description) as description,
        min(title_occurrences) as title_occurrences,
        count(*) as copies,
        min({{ exact('uid') }}) as first_uid

    from keyed
    group by pair_id
    order by pair_id

)

select * from deduplicated
