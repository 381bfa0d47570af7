{#- The pairs whose key is not the hash of their own texts: with `unique`, that
    no pair stands twice. -#}
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
