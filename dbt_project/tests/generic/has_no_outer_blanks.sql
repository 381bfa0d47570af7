{#- The texts that are empty or begin or end with a blank. Told by code point
    and by bytes, so that the test shares no list with the rule that trims. -#}
{% test has_no_outer_blanks(model, column_name) %}

    select {{ column_name }}
    from {{ model }}
    where
        coalesce({{ column_name }}, '') = ''
        or {{ finetune.is_blank('left(' ~ column_name ~ ', 1)') }}
        or {{ finetune.ends_with_blank(column_name) }}

{% endtest %}
