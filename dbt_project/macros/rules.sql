{#- All rules, in the order in which they apply. Only this list names them: dbt makes
    the models, the funnel and its tests from it.

    name       the name in the funnel and in product_outcomes
    on         row: applies to each raw row, with its uid, title and description;
               title: applies to the rows of a title that meet the rules on rows,
               with an aggregate such as count(*);
               pair: applied by a model of its own; the condition describes it
    condition  the SQL condition to keep the row, title or pair; null counts as false
    shortcut   optional: a cheaper condition that implies the condition -#}
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
            'shortcut': 'length(description_start) > ' ~ least_length,
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

{#- The rules on rows, titles or pairs, in order. -#}
{% macro rules_on(kind) -%}
    {{- return(finetune.rules() | selectattr('on', 'equalto', kind) | list) -}}
{%- endmacro %}

{#- The name of the first rule whose condition is not true, or null. PostgreSQL can
    push this form of a condition down to a foreign server. -#}
{% macro first_failed_rule(rules) -%}
    {%- if not rules -%}
        cast(null as {{ dbt.type_string() }})
    {%- else -%}
        case
        {%- for rule in rules %}
            when (
                {% if rule.shortcut %}{{ rule.shortcut }} or {% endif -%}
                {{ rule.condition }}
            ) is distinct from true then '{{ rule.name }}'
        {%- endfor %}
        end
    {%- endif -%}
{%- endmacro %}

{#- A query that returns the list of rules as rows. -#}
{% macro rules_as_rows() -%}
    {%- for rule in finetune.rules() %}
    select
        {{ loop.index }} as position,
        '{{ rule.name }}' as rule,
        '{{ rule.on }}' as applies_to,
        '{{ finetune.escaped(rule.condition) }}' as condition
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{%- endmacro %}
