{#- Finds texts that are not longer than a number of characters. -#}
{% test is_longer_than(model, column_name, characters) %}

    select {{ column_name }}
    from {{ model }}
    where coalesce(substr({{ column_name }}, {{ characters }} + 1, 1), '') = ''

{% endtest %}
