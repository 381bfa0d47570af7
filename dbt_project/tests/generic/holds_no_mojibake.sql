{#- The texts in UTF-8 that somebody read as Windows-1252 or Latin-1. -#}
{% test holds_no_mojibake(model, column_name) %}
    {% do config(severity="warn") %}
    {%- set rare = "\u0080-\u00a0¡-ª¬-º¼-¿€‚ƒ„†‡ˆ‰Š‹ŒŽ•–—˜™š›œžŸ" %}
    {%- set next = rare ~ "«»‘’“”…" %}

    select {{ column_name }}
    from {{ model }}
    where
        octet_length({{ column_name }}) > length({{ column_name }})
        and {{ finetune.matches(
            column_name,
            '[ÃÂ][' ~ rare ~ ']|â€|ðŸ|([ÐÑ][' ~ next ~ ']){3}'
            ~ '|([ÎÏ][' ~ next ~ ']){3}|([ã-í][' ~ next ~ '][' ~ next ~ ']){2}'
        ) }}

{% endtest %}
