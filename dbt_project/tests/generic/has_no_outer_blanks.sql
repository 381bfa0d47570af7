{#- Finds texts that are empty or that begin or end with a blank. Tests code
    points and bytes, so that it shares no list with the macro that trims. -#}
{% test has_no_outer_blanks(model, column_name) %}

    select {{ column_name }}
    from {{ model }}
    where
        coalesce({{ column_name }}, '') = ''
        or {{ finetune.is_blank('left(' ~ column_name ~ ', 1)') }}
        or {{ finetune.ends_with_blank(column_name) }}

{% endtest %}
