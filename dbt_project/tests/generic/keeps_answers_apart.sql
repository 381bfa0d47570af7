{#- The texts for validation that are among those to train on. Compared by their
    hashes: a plan with all texts in it would fill the disk. -#}
{% test keeps_answers_apart(model, column_name, split_column='split') %}

    select {{ column_name }}
    from {{ model }}
    where
        {{ split_column }} = 'validation'
        and md5({{ column_name }}) in (
            select md5({{ column_name }})
            from {{ model }}
            where {{ split_column }} = 'train'
        )

{% endtest %}
