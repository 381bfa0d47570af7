{#- The texts with a key in them, told by its prefix: of a cloud, a repository,
    a payment or a model provider; or a private key. -#}
{% test mentions_no_key(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('key', column_name) }}

{% endtest %}
