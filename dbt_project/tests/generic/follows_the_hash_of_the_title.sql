{#- The titles on the wrong side, told by the first four digits of their hash
    as a number from 0 to 1; a title within one step of the border passes. -#}
{% test follows_the_hash_of_the_title(model, column_name, percent) %}

    with

    titles as (

        select distinct
            title,
            {{ column_name }},
            md5(title) as hash

        from {{ model }}

    ),

    placed as (

        select
            title,
            {{ column_name }},
            (
                {% for place in [1, 2, 3, 4] %}
                (position(substr(hash, {{ place }}, 1) in '0123456789abcdef') - 1)
                / {{ 16 ** place }}.0
                {% if not loop.last %}+{% endif %}
                {% endfor %}
            ) as point

        from titles

    )

    select
        title,
        {{ column_name }},
        point

    from placed
    where
        ({{ column_name }} = 'train' and point + 1 / 65536.0 < {{ percent }} / 100.0)
        or ({{ column_name }} = 'validation' and point > {{ percent }} / 100.0)

{% endtest %}
