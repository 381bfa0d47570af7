{#- Finds rules, with their conditions and vars, that are in the funnel but not
    in the current project, or the other way round. -#}
{% test was_built_with_these_rules(model) %}

    with

    built as (

        select
            position,
            rule,
            condition,
            vars

        from {{ model }}

    ),

    rules as (

        {{ finetune.rules_as_rows() }}

    ),

    current_rules as (

        select
            position,
            rule,
            condition,
            '{{ finetune.build_vars() }}' as vars

        from rules

    )

    select
        coalesce(built.rule, current_rules.rule) as rule,
        built.condition as was_built_with,
        current_rules.condition as is_now,
        built.vars as vars_of_the_build,
        current_rules.vars as vars_now

    from built
    full join current_rules
        on
            built.position = current_rules.position
            and built.rule = current_rules.rule
            and built.condition = current_rules.condition
            and built.vars = current_rules.vars

    where built.rule is null or current_rules.rule is null

{% endtest %}
