-- One plain select, which PostgreSQL merges into what asks it: over a `with`
-- the export would sort all pairs instead of walking along their index.
select
    pair_id,
    title,
    description,

    -- A title's side depends on its own text alone, so rows that come and go
    -- never move it, and no title stands on both sides.
    case
        when {{ finetune.is_for_validation('title') }} then 'validation'
        else 'train'
    end as split,
    title_occurrences,
    copies,
    first_uid

from {{ ref('int_finetune__pairs_deduplicated') }} as pairs
{% if finetune.has_validation() %}
    where
        not exists (
            select 1
            from {{ ref('int_finetune__answers_seen') }} as seen
            where seen.pair_id = pairs.pair_id
        )
{% endif %}
