{#- Finds rows whose text contains a harm. Reads the column that the build
    filled when it stored the pairs, so that each text is searched once per
    build. -#}
{% test holds_no_harm(model, harm, pairs) %}
{% do config(severity="warn") %}

    select
        pair_id,
        title

    from {{ pairs }}
    where
        harms like '% {{ harm }} %'
        and pair_id in (select pair_id from {{ model }})

{% endtest %}
