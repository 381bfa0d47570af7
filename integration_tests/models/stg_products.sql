select
    uid,
    title,
    content

from {{ source('shop', 'product') }}
