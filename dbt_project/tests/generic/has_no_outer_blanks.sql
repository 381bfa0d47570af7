{#- The texts that are empty or begin or end with a blank. Told by code point,
    so that the test shares no list with the rule that trims. -#}
{% test has_no_outer_blanks(model, column_name) %}

    with

    ends as (

        select
            {{ column_name }},
            ascii(left({{ column_name }}, 1)) as first_code,
            ascii(right({{ column_name }}, 1)) as last_code

        from {{ model }}

    )

    select {{ column_name }}
    from ends
    where
        coalesce({{ column_name }}, '') = ''
        {% for code in ['first_code', 'last_code'] %}
        or {{ code }} between 9 and 13
        or {{ code }} between 8192 and 8205
        or {{ code }} in (
            32, 133, 160, 5760, 8232, 8233, 8239, 8287, 8288, 12288, 65279
        )
        {% endfor %}

{% endtest %}
