{#- The titles whose copies do not add up to one number of occurrences, or to
    fewer than the least. -#}
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
