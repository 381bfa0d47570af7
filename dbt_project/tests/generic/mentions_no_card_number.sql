{#- Finds texts with the number of a payment card, by issuer, length and Luhn's
    check. There is no such test for bank accounts, because their check needs a
    number of 60 digits. -#}
{% test mentions_no_card_number(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where {{ finetune.has_harm('card_number', column_name) }}

{% endtest %}
