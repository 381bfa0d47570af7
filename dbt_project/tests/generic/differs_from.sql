{#- The rows in which two texts are equal, or equal but for case. -#}
{% test differs_from(model, column_name, other) %}
{% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        length({{ column_name }}) = length({{ other }})
        and lower({{ column_name }}) = lower({{ other }})

{% endtest %}
