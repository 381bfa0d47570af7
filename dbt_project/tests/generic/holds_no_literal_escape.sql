{#- The texts with a newline, a tab or a letter escaped twice, as \n in two
    characters. Paths and formulas are none. -#}
{% test holds_no_literal_escape(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('literal_escape', column_name) }}

{% endtest %}
