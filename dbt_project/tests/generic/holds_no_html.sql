{#- The texts with tags such as <p> or entities such as &amp; in them. -#}
{% test holds_no_html(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        {{ column_name }} like '%<%'
        and {{ finetune.matches(column_name, '</?[A-Za-z][^<>]*>') }}
        or {{ column_name }} like '%&%'
        and {{ finetune.matches(column_name, '&([A-Za-z]+|#[0-9]+|#x[0-9A-Fa-f]+);') }}

{% endtest %}
