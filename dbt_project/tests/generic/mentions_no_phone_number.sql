{#- Finds texts with something like +49 30 1234567, (030) 123-4567 or tel. 030
    123456. A long number alone is more often an article number and is not
    found. -#}
{% test mentions_no_phone_number(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('phone_number', column_name) }}

{% endtest %}
