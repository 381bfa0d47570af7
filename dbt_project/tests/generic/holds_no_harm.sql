{#- The rows in whose text a harm was found when the pairs were stored: read
    there, so that the texts are looked through once a build. -#}
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
