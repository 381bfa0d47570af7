with

products as (

    select * from {{ ref('stg_products') }}

),

judged as (

    select
        uid,
        title,
        description,

        -- One line a rule; the first that a row breaks names its reason. Null
        -- breaks it, too, in words that PostgreSQL passes on to other servers.
        case
            when (title <> '') is distinct from true
                then 'title_not_blank'
            when
                (
                    length(description_start)
                    > {{ number_var('min_description_length', at_least=0) }}
                    or length(description)
                    > {{ number_var('min_description_length', at_least=0) }}
                ) is distinct from true
                then 'description_long_enough'
        end as dropped_by

    from products

)

select * from judged
