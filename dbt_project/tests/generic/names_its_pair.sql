{#- Finds pairs whose id is not the hash of their texts. Together with `unique`
    this proves that no pair occurs twice. -#}
{% test names_its_pair(model, column_name) %}

    select
        {{ column_name }},
        title,
        description

    from {{ model }}
    where
        {{ column_name }} is null
        or {{ column_name }} <> md5(concat(title, chr(31), description))

{% endtest %}
