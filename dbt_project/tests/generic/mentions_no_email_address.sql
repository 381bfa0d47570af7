{#- The texts with something like name@example.com in them. -#}
{% test mentions_no_email_address(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        {{ column_name }} like '%@%'
        and {{ finetune.matches(column_name, '[A-Za-z0-9]@([A-Za-z]|[0-9]{3})[A-Za-z0-9-]*[.][A-Za-z]') }}

{% endtest %}
