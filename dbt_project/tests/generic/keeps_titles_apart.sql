{#- Finds titles that are on both sides of the split. -#}
{% test keeps_titles_apart(model, column_name) %}

    select title
    from {{ model }}
    group by title
    having min({{ column_name }}) <> max({{ column_name }})

{% endtest %}
