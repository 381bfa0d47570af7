{#- The texts with a newline, a tab or a letter escaped twice, as \n in two
    characters. Paths and formulas are none. -#}
{% test holds_no_literal_escape(model, column_name) %}
    {% do config(severity="warn") %}
    {%- set text = "replace(" ~ column_name ~ ", chr(92), '¦')" %}

    select {{ column_name }}
    from {{ model }}
    where
        position(chr(92) in {{ column_name }}) > 0
        and {{ finetune.matches(
            text,
            '¦r¦n|¦u[0-9a-fA-F]{4}'
            ~ '|(^|[^:¦])¦[nt]([^a-zA-Z]|[A-Z][A-Za-z0-9 ]|$)'
            ~ '|(^| )[^ ¦:/$]*[a-z.,!?;)][a-z.,!?;)]¦[nt][a-z]'
        ) }}

{% endtest %}
