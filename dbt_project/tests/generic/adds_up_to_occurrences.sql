{#- Finds titles whose copies do not add up to their occurrences, or add up to
    fewer than the minimum. -#}
{% test adds_up_to_occurrences(model, column_name, at_least) %}

    select
        title,
        sum({{ column_name }}) as added_up,
        min(title_occurrences) as fewest,
        max(title_occurrences) as most

    from {{ model }}
    group by title
    having
        sum({{ column_name }}) <> min(title_occurrences)
        or sum({{ column_name }}) <> max(title_occurrences)
        or sum({{ column_name }}) < {{ at_least }}

{% endtest %}
