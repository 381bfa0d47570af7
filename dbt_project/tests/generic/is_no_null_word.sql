{#- The texts that are, as a whole, what programs write for a missing value. -#}
{% test is_no_null_word(model, column_name) %}
{% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        -- For speed alone: no word has as many bytes, in whichever case.
        octet_length({{ column_name }}) < 60
        and lower({{ column_name }}) in (
            'nan', 'null', 'none', 'nil', 'n/a', 'n.a.', 'undefined', 'nat', 'tbd',
            'todo', '#n/a', '#name?', '#ref!', '#value!', '#div/0!', '<na>',
            '<null>', '<none>', '(null)', '[object object]', '--', '---'
        )
        or {{ column_name }} = concat(chr(92), 'N')

{% endtest %}
