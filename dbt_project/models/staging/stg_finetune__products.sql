-- One plain select: PostgreSQL merges it into the views above it, so that a
-- column is worked out only where it is asked for. Over a `with` it would work
-- out every column of every row first.
select
    cast({{ adapter.quote(var('id_column')) }} as {{ dbt.type_string() }})
        as uid,
    {{ finetune.raw_text('title_column') }} as title,
    {{ finetune.raw_text('content_column') }} as description,

    -- For speed alone: the whole text may be compressed, and takes many times
    -- longer to unpack and count than its first characters.
    {{ finetune.trimmed(
        'left(' ~ finetune.raw_column('content_column') ~ ', '
        ~ (finetune.number_var('min_description_length', at_least=0) + 10) ~ ')'
    ) }} as description_start

from {{ source('raw', 'product') }}
