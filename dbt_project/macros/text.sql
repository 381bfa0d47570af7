{#- Every character that counts as blank: Unicode's white space, and the
    zero-width characters that look like it. -#}
{% macro blanks() -%}
    {{- " \t\n\r\u000b\u000c\u0085\u00a0\u1680" -}}
    {{- "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" -}}
    {{- "\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff" -}}
{%- endmacro %}

{#- The text without blanks at either end; inside it stays as it is. -#}
{% macro trimmed(text) -%}
    btrim({{ text }}, '{{ finetune.blanks() }}')
{%- endmacro %}

{#- The same, faster where nearly all texts have no outer blank. -#}
{% macro trimmed_if_need_be(text) -%}
    {{ return(adapter.dispatch('trimmed_if_need_be', 'finetune')(text)) }}
{%- endmacro %}

{% macro default__trimmed_if_need_be(text) -%}
    {{ finetune.trimmed(text) }}
{%- endmacro %}

{#- A text whose first character is no blank, and whose last byte is not the last
    byte of any blank, has nothing to trim. It passes as it is stored, compressed or
    not; btrim would read every character, and PostgreSQL would compress the result
    again, which takes a third of the time of a build of a million rows. -#}
{% macro postgres__trimmed_if_need_be(text) -%}
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

{#- The text in small letters, those of Latin, Greek and Cyrillic, on every server alike:
    what lower() makes of letters beyond ASCII is decided by a database's collation. -#}
{% macro in_small_letters(text) -%}
    {%- set capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
            ~ "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮĲĴĶĹĻĽ"
            ~ "ĿŁŃŅŇŊŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽ"
            ~ "ΆΈΉΊΌΎΏΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫς"
            ~ "ЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ" -%}
    translate({{ text }}, '{{ capitals }}', '{{ capitals | replace("\u03c2", "\u03c3") | lower }}')
{%- endmacro %}

{#- The text without any blank, as a key to compare by. -#}
{% macro without_blanks(text) -%}
    translate({{ text }}, '{{ finetune.blanks() }}', '')
{%- endmacro %}

{#- Text that is compared and ordered by code point, whatever collation the
    database or the column has: 'a' and 'A' stay two titles everywhere. -#}
{% macro exact(text) -%}
    {{ return(adapter.dispatch('exact', 'finetune')(text)) }}
{%- endmacro %}

{% macro default__exact(text) -%}
    {{ text }}
{%- endmacro %}

{% macro postgres__exact(text) -%}
    {{ text }} collate "C"
{%- endmacro %}

{#- Whether a regular expression, in the part that all engines share, matches
    anywhere in the text. PostgreSQL has regexp_like from version 15 only. -#}
{% macro matches(text, pattern) -%}
    {{ return(adapter.dispatch('matches', 'finetune')(text, pattern)) }}
{%- endmacro %}

{% macro default__matches(text, pattern) -%}
    regexp_like({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro postgres__matches(text, pattern) -%}
    {{ text }} ~ '{{ pattern }}'
{%- endmacro %}

{#- Whether the text ends with a blank, seen from its last three bytes, in UTF-8:
    right() would walk through the whole text first. -#}
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

{#- Whether one character is a blank, by its code point: one list, because Spark
    finds the character again for each condition. -#}
{% macro is_blank(character) -%}
    {%- set named = [32, 133, 160, 5760, 8232, 8233, 8239, 8287, 8288, 12288, 65279] -%}
    {%- set points = range(9, 14) | list + range(8192, 8206) | list + named -%}
    ascii({{ character }}) in ({{ points | join(', ') }})
{%- endmacro %}

{#- The name of a pair. U+001F stands where the title ends, so that "ab", "c" and
    "a", "bc" are two pairs. -#}
{% macro pair_id(title, description) -%}
    md5({{ title }} || chr(31) || {{ description }})
{%- endmacro %}
