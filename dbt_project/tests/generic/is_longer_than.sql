{#- The texts without a character after the given number of them. -#}
{% test is_longer_than(model, column_name, characters) %}

    select {{ column_name }}
    from {{ model }}
    where coalesce(substr({{ column_name }}, {{ characters }} + 1, 1), '') = ''

{% endtest %}
