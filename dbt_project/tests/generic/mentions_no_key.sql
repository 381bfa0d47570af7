{#- The texts with a key in them, told by its prefix: of a cloud, a repository,
    a payment or a model provider; or a private key. -#}
{% test mentions_no_key(model, column_name) %}
    {% do config(severity="warn") %}

    select {{ column_name }}
    from {{ model }}
    where
        -- For speed alone: one short pattern costs less than nine of like, and a
        -- quarter of the long one.
        {{ finetune.matches(
            column_name, 'AKIA|ASIA|AIza|gh[opusr]_|_live_|sk-|xox|eyJ|PRIVATE KEY'
        ) }}
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
