{% set rules = [
    'title_not_blank',
    'description_long_enough',
    'title_repeated',
    'pair_distinct',
] %}

with

ordered as (

    {% for rule in rules %}
        select
            {{ loop.index }} as position,
            '{{ rule }}' as rule
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select * from ordered
