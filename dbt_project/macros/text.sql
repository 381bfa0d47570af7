{#- All characters that count as blank: Unicode's white space and zero-width
    characters. -#}
{% macro blanks() -%}
    {{- " \t\n\r\u000b\u000c\u0085\u00a0\u1680" -}}
    {{- "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" -}}
    {{- "\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff" -}}
{%- endmacro %}

{#- The text without blanks at either end; the inside does not change. -#}
{% macro trimmed(text) -%}
    btrim({{ text }}, '{{ finetune.blanks() }}')
{%- endmacro %}

{#- The same result, but faster if few texts have blanks at their ends. -#}
{% macro trimmed_fast(text) -%}
    {{ return(adapter.dispatch('trimmed_fast', 'finetune')(text)) }}
{%- endmacro %}

{% macro default__trimmed_fast(text) -%}
    {{ finetune.trimmed(text) }}
{%- endmacro %}

{#- A text has nothing to trim if its first character is no blank and its last byte is
    not the last byte of any blank. PostgreSQL then passes the stored text on, still
    compressed; btrim would read every character and compress the result again, a
    third of the time of a build of a million rows. -#}
{% macro postgres__trimmed_fast(text) -%}
    {%- set last_bytes = [] -%}
    {%- for blank in finetune.blanks() -%}
        {%- do last_bytes.append(blank.encode()[-1]) -%}
    {%- endfor -%}
    case
        when {{ text }} = '' then ''
        when
            strpos('{{ finetune.blanks() }}', left({{ text }}, 1)) = 0
            and get_byte(textsend({{ text }}), octet_length({{ text }}) - 1)
            not in ({{ last_bytes | unique | sort | join(', ') }})
            then {{ text }}
        else {{ finetune.trimmed(text) }}
    end
{%- endmacro %}

{#- The text in lower case, for Latin, Greek and Cyrillic letters, with the same result
    on every server: lower() depends on the collation for letters beyond ASCII. -#}
{% macro lower_case(text) -%}
    {%- set capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
            ~ "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮĲĴĶĹĻĽ"
            ~ "ĿŁŃŅŇŊŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽ"
            ~ "ΆΈΉΊΌΎΏΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫς"
            ~ "ЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ" -%}
    translate({{ text }}, '{{ capitals }}', '{{ capitals | replace("\u03c2", "\u03c3") | lower }}')
{%- endmacro %}

{#- The text without any blanks, for comparisons. -#}
{% macro without_blanks(text) -%}
    translate({{ text }}, '{{ finetune.blanks() }}', '')
{%- endmacro %}

{#- The text with a collation that compares and sorts by code point, whatever the
    collation of the database or the column: 'a' and 'A' are always two titles. -#}
{% macro exact(text) -%}
    {{ return(adapter.dispatch('exact', 'finetune')(text)) }}
{%- endmacro %}

{% macro default__exact(text) -%}
    {{ text }}
{%- endmacro %}

{% macro postgres__exact(text) -%}
    {{ text }} collate "C"
{%- endmacro %}

{#- Whether a regular expression matches anywhere in the text. Use only the syntax
    that all engines share. PostgreSQL has regexp_like since version 15. -#}
{% macro matches(text, pattern) -%}
    {{ return(adapter.dispatch('matches', 'finetune')(text, pattern)) }}
{%- endmacro %}

{% macro default__matches(text, pattern) -%}
    regexp_like({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro postgres__matches(text, pattern) -%}
    {{ text }} ~ '{{ pattern }}'
{%- endmacro %}

{#- Whether the text ends with a blank. On PostgreSQL by its last three bytes in
    UTF-8, because right() would read the whole text. -#}
{% macro ends_with_blank(text) -%}
    {{ return(adapter.dispatch('ends_with_blank', 'finetune')(text)) }}
{%- endmacro %}

{% macro default__ends_with_blank(text) -%}
    {{ finetune.is_blank('right(' ~ text ~ ', 1)') }}
{%- endmacro %}

{% macro postgres__ends_with_blank(text) -%}
    encode(
        substring(textsend({{ text }}) from greatest(octet_length({{ text }}) - 2, 1)),
        'hex'
    ) ~ '(09|0a|0b|0c|0d|20|c285|c2a0|e19a80|e2808[0-9a-d]|e280a[89f]|e2819f|e281a0|e38080|efbbbf)$'
{%- endmacro %}

{#- Whether a character is a blank, by its code point. One list, not several
    conditions, because Spark evaluates the character for each condition. -#}
{% macro is_blank(character) -%}
    {%- set named = [32, 133, 160, 5760, 8232, 8233, 8239, 8287, 8288, 12288, 65279] -%}
    {%- set points = range(9, 14) | list + range(8192, 8206) | list + named -%}
    ascii({{ character }}) in ({{ points | join(', ') }})
{%- endmacro %}

{#- The id of a pair. U+001F separates title and description, so that "ab", "c" and
    "a", "bc" are two pairs. -#}
{% macro pair_id(title, description) -%}
    md5({{ title }} || chr(31) || {{ description }})
{%- endmacro %}
