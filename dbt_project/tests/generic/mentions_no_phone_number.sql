{#- The texts with something like +49 30 1234567 or (030) 123-4567 in them: a
    +, 00 or 0 and seven digits or more with single marks between them. -#}
{% test mentions_no_phone_number(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        {{ finetune.matches(
            column_name, '(^|[^0-9A-Za-z.,])([+][1-9]|[(]?0[0-9])([ ()/.-]{0,2}[0-9]){6}'
        ) }}

{% endtest %}
