{#- Every rule, in the order in which they are asked. This list is the only place
    that names them: the models, the funnel and its tests are made from it.

    name       what the funnel and product_outcomes call it
    on         row: asked of each raw row, by its uid, title and description;
               title: asked of a title's rows that meet the rules on rows, as an
               aggregate such as count(*);
               pair: a step with a model of its own, which the condition describes
    condition  what must be true, in SQL, to be kept; null counts as false
    at_once    optional: a cheaper condition that is only true where the other is -#}
{% macro rules() -%}
    {%- set least_length = finetune.number_var('min_description_length', at_least=0) -%}
    {%- set rules = [
        {
            'name': 'title_not_blank',
            'on': 'row',
            'condition': "title <> ''",
        },
        {
            'name': 'description_long_enough',
            'on': 'row',
            'condition': 'length(description) > ' ~ least_length,
            'at_once': 'length(description_start) > ' ~ least_length,
        },
        {
            'name': 'title_repeated',
            'on': 'title',
            'condition': 'count(*) >= '
                ~ finetune.number_var('min_title_occurrences', at_least=1),
        },
        {
            'name': 'pair_distinct',
            'on': 'pair',
            'condition': 'row_number() over (partition by title, description) = 1',
        },
    ] -%}
    {%- if finetune.has_validation() -%}
        {%- do rules.append({
            'name': 'validation_answer_unseen',
            'on': 'pair',
            'condition': "left(md5(title), 8) >= '" ~ finetune.validation_threshold()
                ~ "' or description not in"
                ~ " (select description from training_pairs where split = 'train')",
        }) -%}
    {%- endif -%}
    {{- return(rules) -}}
{%- endmacro %}

{#- The rules on rows, on titles or on pairs, in their order. -#}
{% macro rules_on(kind) -%}
    {{- return(finetune.rules() | selectattr('on', 'equalto', kind) | list) -}}
{%- endmacro %}

{#- The name of the first rule whose condition is not met, or null. PostgreSQL sends
    a condition in this form to other servers, where the rows may be. -#}
{% macro first_not_met(rules) -%}
    {%- if not rules -%}
        cast(null as {{ dbt.type_string() }})
    {%- else -%}
        case
        {%- for rule in rules %}
            when (
                {% if rule.at_once %}{{ rule.at_once }} or {% endif -%}
                {{ rule.condition }}
            ) is distinct from true then '{{ rule.name }}'
        {%- endfor %}
        end
    {%- endif -%}
{%- endmacro %}

{#- The list as rows, as a query. -#}
{% macro rules_as_rows() -%}
    {%- for rule in finetune.rules() %}
    select
        {{ loop.index }} as position,
        '{{ rule.name }}' as rule,
        '{{ rule.on }}' as applies_to,
        '{{ finetune.in_quotes(rule.condition) }}' as condition
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{%- endmacro %}
