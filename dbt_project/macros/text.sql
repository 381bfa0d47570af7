{#- Every character that counts as blank: Unicode's white space, and the
    zero-width characters that look like it. -#}
{% macro blanks() -%}
    {{- " \t\n\r\u000b\u000c\u0085\u00a0\u1680" -}}
    {{- "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" -}}
    {{- "\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff" -}}
{%- endmacro %}

{#- The text without blanks at either end; inside it stays as it is. -#}
{% macro trimmed(text) -%}
    btrim({{ text }}, '{{ blanks() }}')
{%- endmacro %}

{#- The text without any blank, as a key to compare by. -#}
{% macro without_blanks(text) -%}
    translate({{ text }}, '{{ blanks() }}', '')
{%- endmacro %}

{#- Text that is compared and ordered by code point, whatever collation the
    database or the column has: 'a' and 'A' stay two titles everywhere. -#}
{% macro exact(text) -%}
    {{ return(adapter.dispatch('exact')(text)) }}
{%- endmacro %}

{% macro default__exact(text) -%}
    {{ text }}
{%- endmacro %}

{#- Only text has a collation, so a column of numbers or bytes stops here
    instead of becoming training text such as '\x00ff'. -#}
{% macro postgres__exact(text) -%}
    {{ text }} collate "C"
{%- endmacro %}

{#- Whether a regular expression, in the part that all engines share, matches
    anywhere in the text. PostgreSQL has regexp_like from version 15 only. -#}
{% macro matches(text, pattern) -%}
    {{ return(adapter.dispatch('matches')(text, pattern)) }}
{%- endmacro %}

{% macro default__matches(text, pattern) -%}
    regexp_like({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro postgres__matches(text, pattern) -%}
    {{ text }} ~ '{{ pattern }}'
{%- endmacro %}
