{#- Finds texts with something like name@example.com. -#}
{% test mentions_no_email_address(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('email_address', column_name) }}

{% endtest %}
