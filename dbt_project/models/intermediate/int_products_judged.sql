with

products as (

    select * from {{ ref('stg_products') }}

),

judged as (

    select
        uid,
        title,
        description,

        -- One line a rule; the first that a row breaks names its reason.
        case
            when coalesce(title, '') = ''
                then 'title_not_blank'
            when
                coalesce(length(description_start), 0)
                <= {{ number_var('min_description_length', at_least=0) }}
                and coalesce(length(description), 0)
                <= {{ number_var('min_description_length', at_least=0) }}
                then 'description_long_enough'
        end as dropped_by

    from products

)

select * from judged
