-- One plain select: PostgreSQL merges it into the views above it, so that a
-- column is worked out only where it is asked for. Over a `with` it would work
-- out every column of every row first.
select
    cast({{ adapter.quote(var('id_column')) }} as {{ dbt.type_string() }}) as uid,
    {{ trimmed(exact(adapter.quote(var('title_column')))) }} as title,
    {{ trimmed(exact(adapter.quote(var('content_column')))) }} as description,

    -- Unpacking and counting a whole text costs many times more than its first
    -- characters, which nearly always settle whether it is longer than the rule
    -- asks for.
    btrim(
        left(
            {{ adapter.quote(var('content_column')) }},
            {{ number_var('min_description_length', at_least=0) }} + 10
        ),
        '{{ blanks() }}'
    ) as description_start

from {{ source('raw', 'product') }}
