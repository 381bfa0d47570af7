-- One plain select, which PostgreSQL can inline into the views that read it, so
-- that it computes only the columns that they need. With CTEs it would compute
-- every column of every row.
select
    cast({{ adapter.quote(var('id_column')) }} as {{ dbt.type_string() }})
        as uid,
    {{ finetune.raw_text('title_column') }} as title,
    {{ finetune.raw_text('content_column') }} as description,

    -- For speed only: a long text may be compressed, and decompressing and
    -- counting all of it takes many times longer than its first characters.
    {{ finetune.trimmed(
        'left(' ~ finetune.raw_column('content_column') ~ ', '
        ~ (finetune.number_var('min_description_length', at_least=0) + 10) ~ ')'
    ) }} as description_start

from {{ source('raw', 'product') }}
