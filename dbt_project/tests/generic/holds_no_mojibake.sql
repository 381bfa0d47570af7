{#- Finds texts in UTF-8 that a program decoded as Windows-1252 or Latin-1. -#}
{% test holds_no_mojibake(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('mojibake', column_name) }}

{% endtest %}
