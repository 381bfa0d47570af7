{#- The checks of the raw table and its server, and its columns as text. -#}

{#- Stop dbt with an error if the server would change texts or hide rows. -#}
{% macro require_a_readable_raw_table() -%}
    {%- if execute and target.type == 'postgres' -%}
        {%- do finetune.require_utf8() -%}
        {%- do finetune.require_every_row() -%}
    {%- endif -%}
{%- endmacro %}

{#- Of the engines only PostgreSQL has other encodings than UTF-8. In SQL_ASCII the
    trimming would treat each byte of a blank as a character and break the text. -#}
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

{#- An expression for the regclass of the raw table; null if the table is absent. -#}
{% macro raw_regclass() -%}
    {%- set name = adapter.quote(var('raw_schema')) ~ "." ~ adapter.quote(var('raw_table')) -%}
    {{- return("to_regclass('" ~ name | replace("'", "''") ~ "')") -}}
{%- endmacro %}

{#- Without this check, rows that row level security hides would silently be missing. -#}
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

{#- A pre-hook for models that read the raw table: PostgreSQL then raises an error
    instead of hiding rows behind a view, as for pg_dump. -#}
{% macro refuse_hidden_rows() -%}
    {%- if target.type == 'postgres' -%}
        set local row_security = off
    {%- endif -%}
{%- endmacro %}

{#- Whether the raw table, or a partition of it, is a foreign table. -#}
{% macro raw_table_is_foreign() -%}
    {%- if not execute or target.type != 'postgres' -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set oid = finetune.raw_regclass() -%}
    {{- return(run_query(
        "select ftrelid from pg_foreign_table where ftrelid = " ~ oid
        ~ " or ftrelid in (select relid from pg_partition_tree(" ~ oid ~ "))"
    ) | length > 0) -}}
{%- endmacro %}

{#- The column that a var names, as text without blanks at either end. For a foreign
    table in the plain form, because PostgreSQL can only push that form down. -#}
{% macro raw_text(column_var) -%}
    {%- set text = finetune.exact(finetune.raw_column(column_var)) -%}
    {%- if finetune.raw_table_is_foreign() -%}
        {{- finetune.trimmed(text) -}}
    {%- else -%}
        {{- finetune.trimmed_fast(text) -}}
    {%- endif -%}
{%- endmacro %}

{#- The column that a var names, cast to text. The cast removes the padding of char(n)
    and gives the same digits for whole numbers on every engine. Engines format other
    types differently, so such a column stops dbt with an error. -#}
{% macro raw_column(column_var) -%}
    {%- set column = var(column_var) -%}
    {%- if execute and target.type == 'postgres' -%}
        {%- set refused = run_query(
            "select format_type(atttypid, atttypmod) from pg_attribute"
            " join pg_type on pg_type.oid = atttypid"
            " where attrelid = " ~ finetune.raw_regclass()
            ~ " and attname = '" ~ column | replace("'", "''") ~ "'"
            ~ " and (typcategory = 'A' or typcollation = 0 and atttypid not in"
            ~ " ('int2'::regtype, 'int4'::regtype, 'int8'::regtype))"
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
