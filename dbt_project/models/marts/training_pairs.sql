-- One plain select, which PostgreSQL can inline into the query that reads it:
-- with CTEs, the export would sort all pairs instead of scanning their index.
select
    pair_id,
    title,
    description,

    -- The side depends only on the text of the title, so a title never changes
    -- its side as rows come and go, and is never on both sides.
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
