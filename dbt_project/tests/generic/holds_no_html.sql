{#- Finds texts with tags such as <p> or entities such as &amp;. -#}
{% test holds_no_html(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('html', column_name) }}

{% endtest %}
