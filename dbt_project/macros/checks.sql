{#- A numeric var, or a sentence that stops dbt when its value makes no sense. -#}
{% macro number_var(name, at_least, at_most=none, whole=true) -%}
    {%- set value = var(name) -%}
    {%- set is_number = value is integer or (value is float and not whole) -%}
    {%- if not is_number
            or not value >= at_least
            or (at_most is not none and not value <= at_most) -%}
        {{- exceptions.raise_compiler_error(
            "var " ~ name ~ " must be a " ~ ("whole " if whole else "")
            ~ "number of at least " ~ at_least
            ~ (" and at most " ~ at_most if at_most is not none else "")
            ~ ", but is " ~ tojson(value)
        ) -}}
    {%- endif -%}
    {{- value -}}
{%- endmacro %}

{#- The upper end, in eight hexadecimal digits, of the hashes of the titles
    that go to validation. -#}
{% macro validation_threshold() -%}
    {%- set percent = number_var(
        'validation_percent', at_least=0, at_most=50, whole=false
    ) | float -%}
    {{- "%08x" | format((percent / 100 * 16 ** 8) | int) -}}
{%- endmacro %}

{#- PostgreSQL alone has databases in other encodings; in SQL_ASCII a blank of
    several bytes would be trimmed byte by byte and leave broken text. -#}
{% macro require_utf8() -%}
    {%- if execute and target.type == 'postgres' -%}
        {%- set encoding = run_query("show server_encoding").rows[0][0] -%}
        {%- if encoding != "UTF8" -%}
            {{- exceptions.raise_compiler_error(
                "database " ~ target.database ~ " has the encoding " ~ encoding
                ~ "; the rules need UTF8: create database … encoding 'UTF8'"
            ) -}}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- The vars that decide the result, as JSON in one order, fit for a literal. -#}
{% macro build_vars() -%}
    {%- set values = {} -%}
    {%- for name in [
        'raw_schema', 'raw_table', 'id_column', 'title_column', 'content_column',
        'min_description_length', 'min_title_occurrences', 'validation_percent'
    ] -%}
        {%- do values.update({name: var(name)}) -%}
    {%- endfor -%}
    {{- in_quotes(tojson(values, sort_keys=true)) -}}
{%- endmacro %}
