{#- The texts with a key in them, told by its prefix: of a cloud, a repository,
    a payment or a model provider; or a private key. -#}
{% test mentions_no_key(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        (
            {{ column_name }} like '%AKIA%'
            or {{ column_name }} like '%ASIA%'
            or {{ column_name }} like '%AIza%'
            or {{ column_name }} like '%gh_|_%' escape '|'
            or {{ column_name }} like '%|_live|_%' escape '|'
            or {{ column_name }} like '%sk-%'
            or {{ column_name }} like '%xox%'
            or {{ column_name }} like '%eyJ%'
            or {{ column_name }} like '%PRIVATE KEY%'
        )
        and {{ finetune.matches(
            column_name,
            '(^|[^A-Za-z0-9_-])((AKIA|ASIA)[A-Z2-7]{16}|AIza[A-Za-z0-9_-]{35}'
            ~ '|gh[opusr]_[A-Za-z0-9]{36}|(sk|rk)_live_[A-Za-z0-9]{16}'
            ~ '|sk-(proj|svcacct|admin|ant-[a-z0-9]{3,8})-[A-Za-z0-9_-]{20}'
            ~ '|sk-[A-Za-z0-9]{32}|xox[abeoprs]-[0-9A-Za-z-]{20}'
            ~ '|eyJ[A-Za-z0-9_-]{10,200}[.]eyJ[A-Za-z0-9_-]{10})'
            ~ '|-----BEGIN ([A-Z]+ )?PRIVATE KEY-----'
        ) }}

{% endtest %}
