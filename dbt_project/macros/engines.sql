{#- A post-hook that collects statistics of a new table for the query planner. Spark
    plans by file sizes and needs none. -#}
{% macro collect_statistics(relation) -%}
    {{ return(adapter.dispatch('collect_statistics', 'finetune')(relation)) }}
{%- endmacro %}

{% macro default__collect_statistics(relation) -%}
{%- endmacro %}

{% macro postgres__collect_statistics(relation) -%}
    analyze {{ relation }}
{%- endmacro %}

{#- The character with a code point. Spark's chr() only knows the first 256, but
    its string literals have escapes. -#}
{% macro character(code_point) -%}
    {{ return(adapter.dispatch('character', 'finetune')(code_point)) }}
{%- endmacro %}

{% macro default__character(code_point) -%}
    chr({{ code_point }})
{%- endmacro %}

{% macro spark__character(code_point) -%}
    '{{ "\\u%04x" | format(code_point) }}'
{%- endmacro %}

{#- The text, escaped for use within a string literal. Spark's literals have
    backslash escapes, PostgreSQL's do not. -#}
{% macro escaped(text) -%}
    {{ return(adapter.dispatch('escaped', 'finetune')(text)) }}
{%- endmacro %}

{% macro default__escaped(text) -%}
    {{- text | replace("'", "''") -}}
{%- endmacro %}

{% macro spark__escaped(text) -%}
    {{- text | replace("\\", "\\\\") | replace("'", "\\'") -}}
{%- endmacro %}

{#- On Spark only views get a comment: Sail, the server of the tests, does not
    support comments in `create table … as`. -#}
{% macro spark__comment_clause() -%}
    {%- if config.get('materialized') != 'table' -%}
        {{- dbt.spark__comment_clause() -}}
    {%- endif -%}
{%- endmacro %}

{#- dbt's query for a unit test is a union. If the union is the outermost query, Sail
    returns texts such as those of md5() in a type that the client cannot read. -#}
{% macro spark__get_unit_test_sql(
    main_sql, expected_fixture_sql, expected_column_names
) -%}
    select * from (
        {{ dbt.default__get_unit_test_sql(
            main_sql, expected_fixture_sql, expected_column_names
        ) }}
    ) as compared
{%- endmacro %}

{#- A query for the number of rows and of titles in a relation. -#}
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
