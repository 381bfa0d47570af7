with

products as (

    select * from {{ ref('int_finetune__products_judged') }}

),

titles as (

    select * from {{ ref('int_finetune__titles_judged') }}

),

keyed as (

    select
        products.uid,
        products.title,
        products.description,
        case
            when products.dropped_by is not null then products.dropped_by
            {% for rule in finetune.rules_on('title')[:1] %}
                when titles.title is null then '{{ rule.name }}'
            {% endfor %}
            else titles.dropped_by
        end as dropped_by,
        {{ finetune.pair_id('products.title', 'products.description') }}
            as pair_id

    from products
    left join titles
        on products.title = titles.title

),
{% if finetune.has_validation() %}

    seen as (

        select * from {{ ref('int_finetune__answers_seen') }}

    ),

    judged as (

        select
            keyed.uid,
            keyed.title,
            keyed.description,
            case
                when keyed.dropped_by is not null then keyed.dropped_by
                when seen.pair_id is not null
                    then '{{ finetune.rules_on("pair")[-1].name }}'
            end as dropped_by,
            keyed.pair_id

        from keyed
        left join seen
            on
                seen.pair_id = case
                    when {{ finetune.is_for_validation('keyed.title') }}
                        then keyed.pair_id
                end

    ),
{% else %}

    judged as (

        select * from keyed

    ),
{% endif %}

outcomes as (

    select
        uid,
        title,
        description,
        dropped_by,
        case when dropped_by is null then pair_id end as pair_id

    from judged

)

select * from outcomes
