{#- Finds texts with an escape of a newline, a tab or a letter as literal
    characters, such as a backslash and an n; ignores paths and formulas. -#}
{% test holds_no_literal_escape(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('literal_escape', column_name) }}

{% endtest %}
