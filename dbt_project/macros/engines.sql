{#- Statistics of the rows just stored, for the plans of what reads them. Spark
    plans by the size of the files, so there is nothing to do. -#}
{% macro fresh_statistics(relation) -%}
    {{ return(adapter.dispatch('fresh_statistics', 'finetune')(relation)) }}
{%- endmacro %}

{% macro default__fresh_statistics(relation) -%}
{%- endmacro %}

{% macro postgres__fresh_statistics(relation) -%}
    analyze {{ relation }}
{%- endmacro %}

{#- The character with the code point. Spark's chr() has the first 256 alone,
    but its literals know escapes. -#}
{% macro character(code_point) -%}
    {{ return(adapter.dispatch('character', 'finetune')(code_point)) }}
{%- endmacro %}

{% macro default__character(code_point) -%}
    chr({{ code_point }})
{%- endmacro %}

{% macro spark__character(code_point) -%}
    '{{ "\\u%04x" | format(code_point) }}'
{%- endmacro %}

{#- A text fit to stand between the quotes of a literal, where Spark knows
    escapes and PostgreSQL does not. -#}
{% macro in_quotes(text) -%}
    {{ return(adapter.dispatch('in_quotes', 'finetune')(text)) }}
{%- endmacro %}

{% macro default__in_quotes(text) -%}
    {{- text | replace("'", "''") -}}
{%- endmacro %}

{% macro spark__in_quotes(text) -%}
    {{- text | replace("\\", "\\\\") | replace("'", "\\'") -}}
{%- endmacro %}

{#- On Spark only views keep their description: Sail, which the tests run on,
    knows no comment in `create table … as`. -#}
{% macro spark__comment_clause() -%}
    {%- if config.get('materialized') != 'table' -%}
        {{- dbt.spark__comment_clause() -}}
    {%- endif -%}
{%- endmacro %}

{#- A unit test compares in a union. When that is outermost, Sail sends texts
    such as those of md5() in a form that the client does not know. -#}
{% macro spark__get_unit_test_sql(
    main_sql, expected_fixture_sql, expected_column_names
) -%}
    select * from (
        {{ dbt.default__get_unit_test_sql(
            main_sql, expected_fixture_sql, expected_column_names
        ) }}
    ) as compared
{%- endmacro %}

{#- How many rows and titles a relation has. -#}
{% macro rows_and_titles(relation) -%}
    select
        coalesce(sum(row_count), 0) as row_count,
        count(*) as title_count

    from (
        select
            title,
            count(*) as row_count
        from {{ relation }}
        group by title
    ) as titles
{%- endmacro %}
