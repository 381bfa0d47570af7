{#- Finds texts that occur under more titles than allowed. -#}
{% test stands_under_few_titles(model, column_name, at_most) %}
    {% do config(severity="warn") %}

    select
        md5({{ column_name }}) as text_hash,
        min(left({{ column_name }}, 60)) as begins_with,
        count(distinct title) as titles

    from {{ model }}
    group by md5({{ column_name }})
    having count(distinct title) > {{ at_most }}

{% endtest %}
