{#- The rows in which two texts are equal, or equal except for case. -#}
{% test differs_from(model, column_name, other) %}
{% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        -- For speed alone: bytes are known without unpacking the text, and a
        -- character has one to four. In a case, because PostgreSQL orders
        -- conditions by their cost as it guesses it.
        case
            when octet_length({{ column_name }}) <= 4 * octet_length({{ other }})
                then
                    length({{ column_name }}) = length({{ other }})
                    and {{ finetune.in_small_letters(column_name) }}
                    = {{ finetune.in_small_letters(other) }}
            else false
        end

{% endtest %}
