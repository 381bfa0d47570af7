{#- Finds groups of pairs of one title whose texts differ only in case and
    blanks. -#}
{% test differs_in_more_than_case_or_spacing(model, column_name) %}
{% do config(severity="warn") %}

    select
        title,
        min(left({{ column_name }}, 60)) as begins_with,
        count(*) as pairs

    from {{ model }}
    group by
        title,
        md5(lower({{ finetune.without_blanks(column_name) }}))

    having count(*) > 1

{% endtest %}
