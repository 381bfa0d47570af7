{#- Finds titles on the wrong side, by the first four digits of their hash as a
    number from 0 to 65,535. A whole number, because engines round fractions
    differently. A title within one step of the threshold passes. -#}
{% test follows_the_hash_of_the_title(model, column_name, percent) %}

    with

    titles as (

        select
            title,
            min({{ column_name }}) as side

        from {{ model }}
        group by title

    ),

    hashed as (

        select
            title,
            side,
            md5(title) as hash

        from titles

    ),

    placed as (

        select
            title,
            side,
            (
                {% for place in [1, 2, 3, 4] %}
                (position(substr(hash, {{ place }}, 1) in '0123456789abcdef') - 1)
                * {{ 16 ** (4 - place) }}
                {% if not loop.last %}+{% endif %}
                {% endfor %}
            ) as point

        from hashed

    )

    select
        title,
        side,
        point

    from placed
    where
        (side = 'train' and (point + 1) * 100 < {{ percent }} * 65536)
        or (side = 'validation' and point * 100 > {{ percent }} * 65536)

{% endtest %}
