{#- What is asked of the raw table and its server before anything is built. -#}

{#- A sentence that stops dbt where texts would be changed or rows hidden. -#}
{% macro require_a_readable_raw_table() -%}
    {%- if execute and target.type == 'postgres' -%}
        {%- do finetune.require_utf8() -%}
        {%- do finetune.require_every_row() -%}
    {%- endif -%}
{%- endmacro %}

{#- PostgreSQL alone has databases in other encodings; in SQL_ASCII a blank of
    several bytes would be trimmed byte by byte and leave broken text. -#}
{% macro require_utf8() -%}
    {%- set encoding = run_query("show server_encoding").rows[0][0] -%}
    {%- set client = run_query("show client_encoding").rows[0][0] -%}
    {%- if encoding != "UTF8" -%}
        {{- exceptions.raise_compiler_error(
            "database " ~ target.database ~ " has the encoding " ~ encoding
            ~ "; the rules need UTF8: create database … encoding 'UTF8'"
        ) -}}
    {%- elif client != "UTF8" -%}
        {{- exceptions.raise_compiler_error(
            "client_encoding is " ~ client ~ ", but must be UTF8: unset PGCLIENTENCODING"
        ) -}}
    {%- endif -%}
{%- endmacro %}

{#- The name of the raw table as a literal of type regclass, null if there is none. -#}
{% macro raw_regclass() -%}
    {%- set name = adapter.quote(var('raw_schema')) ~ "." ~ adapter.quote(var('raw_table')) -%}
    {{- return("to_regclass('" ~ name | replace("'", "''") ~ "')") -}}
{%- endmacro %}

{#- Rows that row level security hides would be missing, and nothing would show it. -#}
{% macro require_every_row() -%}
    {%- set hidden = run_query(
        "select current_user where row_security_active(" ~ finetune.raw_regclass() ~ ")"
    ).rows -%}
    {%- if hidden -%}
        {{- exceptions.raise_compiler_error(
            "row level security on " ~ var('raw_schema') ~ "." ~ var('raw_table')
            ~ " would hide rows from role " ~ hidden[0][0]
            ~ "; build with a role that sees every row: alter role "
            ~ adapter.quote(hidden[0][0]) ~ " bypassrls"
        ) -}}
    {%- endif -%}
{%- endmacro %}

{#- For the connection of a model that reads the raw table: an error in place of rows
    that are hidden behind a view, as in pg_dump. -#}
{% macro refuse_hidden_rows() -%}
    {%- if target.type == 'postgres' -%}
        set local row_security = off
    {%- endif -%}
{%- endmacro %}

{#- Whether the raw table, or a partition of it, is on another server. -#}
{% macro raw_is_elsewhere() -%}
    {%- if not execute or target.type != 'postgres' -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set oid = finetune.raw_regclass() -%}
    {{- return(run_query(
        "select ftrelid from pg_foreign_table where ftrelid = " ~ oid
        ~ " or ftrelid in (select relid from pg_partition_tree(" ~ oid ~ "))"
    ) | length > 0) -}}
{%- endmacro %}

{#- The column that a var names, as text in SQL, without blanks at either end. Rows on
    other servers are better judged there, and PostgreSQL sends only the plain form. -#}
{% macro raw_text(column_var) -%}
    {%- set text = finetune.exact(finetune.raw_column(column_var)) -%}
    {%- if finetune.raw_is_elsewhere() -%}
        {{- finetune.trimmed(text) -}}
    {%- else -%}
        {{- finetune.trimmed_if_need_be(text) -}}
    {%- endif -%}
{%- endmacro %}

{#- The column that a var names, as text in SQL as it is stored. A cast to text takes
    the padding from char(n), and writes whole numbers alike on every engine; of other
    types each engine has a form of its own, so they stop dbt with a sentence. -#}
{% macro raw_column(column_var) -%}
    {%- set column = var(column_var) -%}
    {%- if execute and target.type == 'postgres' -%}
        {%- set refused = run_query(
            "select format_type(atttypid, atttypmod) from pg_attribute"
            " join pg_type on pg_type.oid = atttypid"
            " where attrelid = " ~ finetune.raw_regclass()
            ~ " and attname = '" ~ column | replace("'", "''") ~ "'"
            ~ " and typcollation = 0"
            ~ " and atttypid not in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)"
        ).rows -%}
        {%- if refused -%}
            {%- set table = var('raw_schema') ~ "." ~ var('raw_table') -%}
            {{- exceptions.raise_compiler_error(
                "var " ~ column_var ~ " names column " ~ column ~ " of " ~ table
                ~ ", which is " ~ refused[0][0] ~ " but must be text; make a view of "
                ~ table ~ " with cast(" ~ adapter.quote(column) ~ " as text) as "
                ~ adapter.quote(column) ~ " and name it in the var raw_table"
            ) -}}
        {%- endif -%}
    {%- endif -%}
    cast({{ adapter.quote(column) }} as {{ dbt.type_string() }})
{%- endmacro %}
