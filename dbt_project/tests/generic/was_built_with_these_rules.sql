{#- The rules, with their conditions and vars, that are in the funnel but
    not in the project as it is now, or the other way round. -#}
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

    now_there as (

        select
            position,
            rule,
            condition,
            '{{ finetune.build_vars() }}' as vars

        from rules

    )

    select
        coalesce(built.rule, now_there.rule) as rule,
        built.condition as was_built_with,
        now_there.condition as is_now,
        built.vars as vars_of_the_build,
        now_there.vars as vars_now

    from built
    full join now_there
        on
            built.position = now_there.position
            and built.rule = now_there.rule
            and built.condition = now_there.condition
            and built.vars = now_there.vars

    where built.rule is null or now_there.rule is null

{% endtest %}
