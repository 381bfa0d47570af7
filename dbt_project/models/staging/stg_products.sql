with

source as (

    select * from {{ source('raw', 'product') }}

),

renamed as (

    select
        cast({{ adapter.quote(var('id_column')) }} as {{ dbt.type_string() }})
            as uid,
        {{ trimmed(exact(adapter.quote(var('title_column')))) }} as title,
        {{ trimmed(exact(adapter.quote(var('content_column')))) }} as description,

        -- Unpacking and trimming a whole text costs many times more than its
        -- first characters, which nearly always settle whether it is long
        -- enough.
        {{ trimmed("left(" ~ exact(adapter.quote(var('content_column'))) ~ ", 100)") }}
            as description_start

    from source

)

select * from renamed
