{#- Finds rows whose two texts are equal, ignoring case. -#}
{% test differs_from(model, column_name, other) %}
{% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        -- For speed only: PostgreSQL knows the bytes without decompressing the text,
        -- and a character has one to four of them. In a `case`, because PostgreSQL
        -- orders conditions by their estimated cost.
        case
            when octet_length({{ column_name }}) <= 4 * octet_length({{ other }})
                then
                    length({{ column_name }}) = length({{ other }})
                    and {{ finetune.lower_case(column_name) }}
                    = {{ finetune.lower_case(other) }}
            else false
        end

{% endtest %}
