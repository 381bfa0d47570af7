{#- The value of a numeric var. Stops dbt with an error if it is out of range. -#}
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
    {{- return(value) -}}
{%- endmacro %}

{#- Whether any title goes to validation. -#}
{% macro has_validation() -%}
    {{- return(finetune.validation_threshold() != '00000000') -}}
{%- endmacro %}

{#- A title goes to validation if the first eight hexadecimal digits of its hash are
    below this threshold. -#}
{% macro validation_threshold() -%}
    {%- set percent = finetune.number_var(
        'validation_percent', at_least=0, at_most=50, whole=false
    ) -%}
    {{- return("%08x" | format((percent / 100 * 16 ** 8) | int)) -}}
{%- endmacro %}

{#- A condition: whether a title goes to validation. -#}
{% macro is_for_validation(title) -%}
    {{- return(
        finetune.exact("left(md5(" ~ title ~ "), 8)")
        ~ " < '" ~ finetune.validation_threshold() ~ "'"
    ) -}}
{%- endmacro %}

{#- The vars of this project and their values as JSON, sorted by name. The names come
    from its dbt_project.yml, so there is no second list of them. -#}
{% macro build_vars() -%}
    {%- set project = adapter.config -%}
    {%- if project.project_name != 'finetune' -%}
        {%- set project = project.load_dependencies()['finetune'] -%}
    {%- endif -%}
    {%- set values = {} -%}
    {%- for key, value in project.vars.to_dict().items() -%}
        {%- for name in (value if value is mapping else [key]) -%}
            {%- do values.update({name: var(name)}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(finetune.escaped(tojson(values, sort_keys=true))) -}}
{%- endmacro %}
