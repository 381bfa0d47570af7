{#- The rules counted by a build whose vars were not these. -#}
{% test was_built_with(model, column_name, vars) %}

    select distinct {{ column_name }}
    from {{ model }}
    where {{ column_name }} <> '{{ vars }}'

{% endtest %}
