{#- The texts with tags such as <p> or entities such as &amp; in them. -#}
{% test holds_no_html(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        {{ column_name }} like '%<%'
        and {{ finetune.matches(
            column_name,
            '</?(a|b|i|u|p|br|hr|li|[uod]l|d[td]|em|h[1-6]|div|span|strong|small|sub|sup'
            ~ '|font|center|table|tbody|thead|t[rdh]|img|pre|code|blockquote|script'
            ~ '|style|html|body|head|title|meta|link|input|button|form|label|iframe'
            ~ '|A|B|I|U|P|BR|HR|LI|UL|OL|EM|H[1-6]|DIV|SPAN|STRONG|FONT|TABLE|T[RDH]'
            ~ '|IMG)( [^<>]*| ?/)?>'
        ) }}
        or {{ column_name }} like '%&%'
        and {{ finetune.matches(column_name, '&([A-Za-z]+|#[0-9]+|#x[0-9A-Fa-f]+);') }}

{% endtest %}
