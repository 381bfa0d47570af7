{#- Finds validation texts that are also training texts. Compares hashes,
    because a hash table of all texts would fill the disk. -#}
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
