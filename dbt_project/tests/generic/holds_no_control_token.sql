{#- Finds texts with a control token of a tokenizer. -#}
{% test holds_no_control_token(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('control_token', column_name) }}

{% endtest %}
