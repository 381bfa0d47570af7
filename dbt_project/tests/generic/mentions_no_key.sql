{#- Finds texts with a private key, or with an API key, by its prefix, of a
    provider of clouds, repositories, payments or models. -#}
{% test mentions_no_key(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('key', column_name) }}

{% endtest %}
