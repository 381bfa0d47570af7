{#- Finds texts that consist only of a word for a missing value. -#}
{% test is_no_null_word(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.is_null_word(column_name) }}

{% endtest %}
