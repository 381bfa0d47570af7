with

pairs as (

    select * from {{ ref('int_pairs_deduplicated') }}

),

-- A title's side depends on its own text alone, so rows that come and go never
-- move it, and no title stands on both sides.
split as (

    select
        pair_id,
        title,
        description,
        case
            when
                {{ exact('left(md5(title), 8)') }}
                < '{{ validation_threshold() }}'
                then 'validation'
            else 'train'
        end as split,
        title_occurrences,
        copies,
        first_uid

    from pairs

)

select * from split
