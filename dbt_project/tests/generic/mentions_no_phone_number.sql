{#- The texts with something like +49 30 1234567, (030) 123-4567 or tel. 030
    123456 in them. Long numbers by themselves are those of articles. -#}
{% test mentions_no_phone_number(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        (
            {{ column_name }} like '%+%'
            or {{ column_name }} like '%00%'
            or {{ column_name }} like '%(%)%'
            or {{ finetune.matches(column_name, '[Tt]el|TEL|[Ff]ax') }}
        )
        and {{ finetune.matches(
            column_name,
            '(^|[^0-9A-Za-z.,])([+]|00)[1-9][0-9]{0,2}[ ()/.-]{1,2}[0-9(]'
            ~ '([ ()/.-]{0,2}[0-9]){6,12}($|[^0-9])'
            ~ '|(^|[^0-9A-Za-z.,])[+][1-9][0-9]{9,13}($|[^0-9])'
            ~ '|(^|[^0-9A-Za-z])[(]0?[1-9][0-9]{1,4}[)] ?[0-9]{3,4}[ -][0-9]{3,5}($|[^0-9])'
            ~ '|([Tt]el|TEL|[Ff]ax)([.: ]|efon)*[0-9]{2,5}[ /-]([ /-]{0,2}[0-9]){5,10}'
        ) }}

{% endtest %}
