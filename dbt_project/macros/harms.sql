{#- The harms in a text that no rule drops, as in `finetune check`. An entry is the name
    of the harm, a hint and a pattern. The hint is a cheap condition that rules out most
    texts; an empty hint means `may_hold_harm`, one condition for several harms. The most
    common tags are an entry of their own, which takes half the time of all tags.

    No pattern matches a literal backslash or bracket, because engines escape them
    differently: `has_pattern` first translates [ ] and the backslash to ⟦ ⟧ and ¦. -#}
{% macro harms() -%}
    {%- set less, amp, bracket, backslash = '<', '&', ']', 'chr(92)' -%}
    {%- set no_letter, no_digit = '(^|[^0-9A-Za-z.,])', '($|[^0-9])' -%}
    {%- set rare = "\u0080-\u00a0¡-ª¬-º¼-¿€‚ƒ„†‡ˆ‰Š‹ŒŽ•–—˜™š›œžŸ" -%}
    {%- set any = rare ~ "«»‘’“”…" -%}
    {{- return([
        ('html', less, '</?(a|b|i|p|br|li|ul|div|span|strong)([ \n\t][^<>]*|/)?>'),
        ('html', less, '<!--|</?(a|b|i|u|p|q|br|hr|li|ul|ol|dl|dt|dd|em|h[1-6]|div|span'
            ~ '|strong|small|big|sub|sup|del|ins|font|center|table|tbody|thead|tr|td|th|img'
            ~ '|pre|code|style|blockquote|script|html|body|head|title|meta|link|input|button'
            ~ '|form|label|main|select|option|iframe|section|article|header|footer|nav|figure'
            ~ '|figcaption|tt|picture|source|audio|video|svg|kbd|abbr|strike|cite|o:p|A|B|I|U'
            ~ '|P|BR|Br|HR|LI|UL|OL|EM|H[1-6]|DIV|SPAN|STRONG|FONT|CENTER|TABLE|TBODY|TR|TD'
            ~ '|TH|IMG|aside|details|summary|mark|embed|noscript|textarea|fieldset|legend'
            ~ '|tfoot|caption|col|colgroup|wbr|nobr|acronym|marquee|ruby|SMALL|BIG|SUB|SUP'
            ~ '|DEL|INS|DL|DT|DD|HTML|BODY|STYLE|SCRIPT|BLOCKQUOTE|THEAD|IFRAME|Div|Span'
            ~ '|Strong|Table|Ul|Li|Img|Font)([ \n\t][^<>]*|/)?>'),
        ('html', amp, '&(amp|lt|gt|quot|apos|nbsp|copy|reg|trade|euro|pound|yen|cent|deg'
            ~ '|middot|bull|hellip|[nm]dash|[lr][sd]quo|[sb]dquo|sbquo|[lr]aquo|times|divide'
            ~ '|plusmn|minus|frac[1-8]{2}|sup[1-3]|micro|para|sect|shy|e[nm]sp|thinsp|zwn?j'
            ~ '|szlig|eth|thorn|[lrud]arr|check|starf?|hearts|permil|infin|radic|i?excl|iquest'
            ~ '|ord[fm]|alpha|beta|[AEIOUYaeiouyNnCcOoSsZz](acute|grave|circ|tilde|uml|ring'
            ~ '|cedil|slash|lig|caron)|[AaOo]Elig|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}'
            ~ '|[lg]e|ne|Omega|Delta|mu|harr|spades|clubs|diams|Tab|NewLine'
            ~ '|lpar|rpar|percnt|AMP|LT|GT|QUOT|COPY|REG);'),
        ('control_token', 'token', '<[|][A-Za-z0-9_-]{1,40}[|]?>|<[a-z_]{1,20}[|]>|<｜[^<>]{1,40}｜>'
            ~ '|</?s>|<(bos|eos|pad|unk|mask|cls|sep|sop|eop|eod|eo[ah]|image|video)>|<</?SYS>>'
            ~ '|<(start|end)_of_(turn|image|audio|utterance)>|<(image|audio|video)_soft_token>'
            ~ '|</?(think|tool_call|tool_response|tools|arg_key|arg_value)>'
            ~ '|<(start|end)_function_(declaration|call|response)>|<｜DSML｜'
            ~ '|<fim_(prefix|middle|suffix|pad)>'
            ~ '|<(gh_stars|repo_?name|file_sep|empty_output|(issue|commit|jupyter)_[a-z]{3,8})>'
            ~ '|<(extra_id_|unused|reserved_|SPECIAL_)[0-9]{1,4}>|<(seed|minimax):[a-z_]{2,20}>'
            ~ '|<(BOS|EOS|PAD|UNK)(_TOKEN)?>|<(SUF|MID|EOT)>'),
        ('control_token', bracket, '⟦(BOS|EOS|EOT|PAD|UNK|CLS|SEP|MASK|UNUSED_TOKEN_[0-9]{1,3}'
            ~ '|PREFIX|MIDDLE|SUFFIX|TOOL_CALLS'
            ~ '|TOOL_CONTENT|CALL_ID|ARGS|IMG|IMG_BREAK|IMG_END|gMASK|sMASK|AUDIO|BEGIN_AUDIO'
            ~ '|TRANSCRIBE|/?(INST|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT|THINK'
            ~ '|MODEL_SETTINGS)|[|](system|user|assistant|endofturn)[|])⟧|⟧~b⟧|⟧~!b⟦'),
        ('control_token', '[e~[', 'e~'),
        ('literal_escape', backslash, '¦r¦n|¦u[0-9a-fA-F]{4}'
            ~ '|(^|[^:¦])¦[nt]([^a-zA-Z]|[A-Z][A-Za-z0-9 ]|$)'
            ~ '|(^| )[^ ¦:/$]*[a-z.,!?;)][a-z.,!?;)]¦¦?[nt][a-z]'),
        ('mojibake', '', '[ÃÂ][«' ~ rare ~ ']|â€|â[‚\u0082]¬|â[„\u0084][¢™]|â\u0080['
            ~ any ~ ']|ï»¿|ï¿½|â[\u0086-\u009f†‡ˆ‰Š‹ŒŽ˜™š›œž][' ~ any ~ ']|ð[Ÿ\u009f]'
            ~ '|[ÄÅÈÌ][\u0080-\u009f¡¢¥¦¨¯±³¶¼½¾‚ƒ„†‡ˆ‰ŠŒŽ˜™šœžŸ]|([ÐÑ][' ~ any ~ ']){3}'
            ~ '|([ÎÏ][' ~ any ~ ']){3}|(×[' ~ any ~ ']){3}|([ØÙÚÛ][' ~ any ~ ']){3}'
            ~ '|([à-í][' ~ any ~ '][' ~ any ~ ']){2}|(ð[' ~ any ~ '][' ~ any ~ '][' ~ any ~ ']){2}'),
        ('email_address', '', '[A-Za-z0-9]@([A-Za-z]|[0-9]{3})[A-Za-z0-9ß-ɏ-]*'
            ~ '([.][A-Za-z0-9ß-ɏ-]+)*[.][A-Za-z]{2}'),
        ('key', '', '(^|[^A-Za-z0-9_-])((AKIA|ASIA)[A-Z2-7]{16}($|[^A-Za-z0-9])'
            ~ '|AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}|ya29[.][A-Za-z0-9_-]{50}'
            ~ '|(gh[opusr]|npm)_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}'
            ~ '|((sk|rk)_live|gsk|r8|ntn|lin_api|whsec)_[A-Za-z0-9+/]{16}|hf_[A-Za-z]{34}'
            ~ '|(xai|pplx)-[A-Za-z0-9]{48}|(nvapi|glpat|sq0[a-z]{3})-[A-Za-z0-9_-]{20}'
            ~ '|(figd|dckr_pat)_[A-Za-z0-9_-]{27}|hvs[.][A-Za-z0-9_-]{24}'
            ~ '|pypi-AgEI[A-Za-z0-9_-]{20}|sk-(proj|svcacct|admin|or-v1|ant-[a-z0-9]{3,8})'
            ~ '-[A-Za-z0-9_-]{20}|sk-[A-Za-z0-9]{32}|xox[abeoprs]-[0-9A-Za-z-]{20}'
            ~ '|xapp-[0-9]-[A-Z0-9]{9}|hooks[.]slack[.]com/services/T[A-Za-z0-9]{8}'
            ~ '|[0-9]{8,10}:AA[A-Za-z0-9_-]{33}|SG[.][A-Za-z0-9_-]{22}[.][A-Za-z0-9_-]{43}'
            ~ '|key-[0-9a-f]{32}|shp(at|ca|pa|ss)_[0-9a-fA-F]{32}|dop_v1_[0-9a-f]{64}'
            ~ '|eyJ[A-Za-z0-9_-]{10,200}[.]eyJ[A-Za-z0-9_-]{10})'
            ~ '|-----BEGIN ([A-Z]+ )?PRIVATE KEY( BLOCK)?-----'),
        ('phone_number', '', no_letter ~ '([+]|00)(1|7|[2-689][0-9]{1,2})[ ()/.-]{1,2}[0-9(]'
            ~ '([ ()/.-]{0,2}[0-9]){6,12}' ~ no_digit
            ~ '|' ~ no_letter ~ '[+][1-9][0-9]{9,13}' ~ no_digit
            ~ '|(^|[^0-9A-Za-z.,/-])(1[.-])?[2-9][0-9]{2}([.][2-9][0-9]{2}[.]|-[2-9][0-9]{2}-)'
            ~ '[0-9]{4}($|[^0-9A-Za-z.,/-]|[.,]($|[^0-9]))'
            ~ '|(^|[^0-9A-Za-z])[(]0?[1-9][0-9]{1,4}[)] ?[0-9]{3,4}[ -][0-9]{3,5}' ~ no_digit
            ~ '|(^|[^0-9A-Za-z])[(]0[1-9][0-9]{1,4}[)] ?[0-9]{5,8}' ~ no_digit
            ~ '|(T[eé]l|t[eé]l|TEL|[Pp]hone|[Ff]ax|[Mm]obile?|[Hh]otline|[Cc]all)'
            ~ '([.: ]|efon)*[0-9]{2,5}[ /-]([ /-]{0,2}[0-9]){5,10}' ~ no_digit),
        ('card_number', '', finetune.card_pattern()),
    ]) -}}
{%- endmacro %}

{#- Whether a text may contain a harm that has no hint of its own. The pattern has few
    states, so PostgreSQL searches 150 MB per second. -#}
{% macro may_hold_harm(text) -%}
    {{ finetune.matches(text,
        '@[A-Za-z0-9]|[-_.]([A-Za-z0-9+/_-]{16}|eyJ|slack|-BEGIN|[0-9]-[A-Z0-9]{9})'
        ~ '|A(Iza|[KS]IA)|[0-9]([ ()/.-]{0,2}[0-9]){6}'
        ~ '|[ÂÃÄÅÈÌÎÏÐÑ×ØÙÚÛà-íïð][\u0080-\u00bf\u0152-\u2122]'
    ) }}
{%- endmacro %}

{#- The condition of a hint. For tokens, the length rules out most HTML tags. -#}
{% macro has_hint(hint, text) -%}
    {%- if not hint -%}
        {{- finetune.may_hold_harm(text) -}}
    {%- elif hint == 'token' -%}
        position('<' in {{ text }}) > 0
        and {{ finetune.matches(
            text, '<(/?s>|[|｜<]|[a-z]*[|_:]|/?[a-zBEMPUS][a-zA-Z]{2})'
        ) }}
    {%- elif hint == 'chr(92)' -%}
        position(chr(92) in {{ text }}) > 0
    {%- else -%}
        position('{{ hint }}' in {{ text }}) > 0
    {%- endif -%}
{%- endmacro %}

{#- Whether the pattern of an entry matches the text. -#}
{% macro has_pattern(entry, text) -%}
    {%- set name, hint, pattern = entry -%}
    {%- if hint in (']', 'chr(92)') -%}
        {%- set marked = "translate(" ~ text ~ ", concat('[]', chr(92)), '⟦⟧¦')" -%}
        {{- finetune.matches(marked, pattern) -}}
    {%- elif name == 'card_number' -%}
        {{- finetune.holds_card(text) -}}
    {%- else -%}
        {{- finetune.matches(text, pattern) -}}
    {%- endif -%}
{%- endmacro %}

{#- A condition: whether a text contains a harm. -#}
{% macro has_harm(harm, text) -%}
    (
    {%- for entry in finetune.harms() if entry[0] == harm %}
        {% if not loop.first %}or {% endif -%}
        ({{ finetune.has_hint(entry[1], text) }} and {{ finetune.has_pattern(entry, text) }})
    {%- endfor %}
    )
{%- endmacro %}

{#- An expression for the names of all harms in a text, each between blanks. -#}
{% macro harms_in(text) -%}
    {%- set with_hint = finetune.harms() | selectattr(1) | map(attribute=0) | unique -%}
    concat(
        {%- for harm in with_hint %}
        case when {{ finetune.has_harm(harm, text) }} then ' {{ harm }} ' else '' end,
        {%- endfor %}
        case
            when {{ finetune.may_hold_harm(text) }}
                then concat(
                {%- for entry in finetune.harms() | rejectattr(1) %}
                    case when {{ finetune.has_pattern(entry, text) }}
                        then ' {{ entry[0] }} ' else '' end
                    {%- if not loop.last %},{% endif %}
                {%- endfor %}
                )
            else ''
        end
    )
{%- endmacro %}

{#- Whether the whole text is a word that programs write for a missing value. The size
    alone rules out longer texts. -#}
{% macro is_null_word(text) -%}
    (
        octet_length({{ text }}) <= 16
        and (
            lower({{ text }}) in (
                'nan', 'null', 'none', 'nil', 'n/a', 'n.a.', 'undefined', 'nat', 'tbd',
                'todo', '#n/a', '#name?', '#ref!', '#value!', '#div/0!', '<na>',
                '<null>', '<none>', '(null)', '(none)', '(blank)', '[object object]',
                '--', '---'
            )
            or {{ text }} in (concat(chr(92), 'N'), 'NA')
        )
    )
{%- endmacro %}

{#- The pattern of a payment card's number, by issuer; its first group is the number. -#}
{% macro card_pattern() -%}
    {%- set four = '(?:4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|6[0245][0-9]{2}|35[2-8][0-9])' -%}
    {{- return(
        '(?:^|[^0-9A-Za-z.,/_-])(' ~ four ~ '[0-9]{12}|3[47][0-9]{13}'
        ~ '|' ~ four ~ '(?: [0-9]{4}){3}|' ~ four ~ '(?:-[0-9]{4}){3}'
        ~ '|3[47][0-9]{2}[ -][0-9]{6}[ -][0-9]{5}|3[0689][0-9]{2}[ -][0-9]{6}[ -][0-9]{4})'
        ~ '(?:$|[^0-9A-Za-z.,/_-]|[.,](?:$|[^0-9]))'
    ) -}}
{%- endmacro %}

{#- Whether the first such number in a text passes Luhn's check. The position of a
    digit in 0516273849 is the digit sum of its double, which counts for every second
    digit. -#}
{% macro holds_card(text) -%}
    {%- set number = finetune.first_match(text, finetune.card_pattern()) -%}
    {%- set digits = "lpad(replace(replace(" ~ number ~ ", ' ', ''), '-', ''), 16, '0')" -%}
    (
        {{ finetune.matches(text, finetune.card_pattern()) }}
        and (
            {%- for place in range(1, 17) %}
            position(substr({{ digits }}, {{ place }}, 1)
                in '{{ "0516273849" if place % 2 else "0123456789" }}') - 1
            {% if not loop.last %}+{% endif %}
            {%- endfor %}
        ) % 10 = 0
    )
{%- endmacro %}

{#- The first group of the first match of a pattern. -#}
{% macro first_match(text, pattern) -%}
    {{ return(adapter.dispatch('first_match', 'finetune')(text, pattern)) }}
{%- endmacro %}

{% macro default__first_match(text, pattern) -%}
    regexp_extract({{ text }}, '{{ pattern }}', 1)
{%- endmacro %}

{% macro postgres__first_match(text, pattern) -%}
    substring({{ text }} from '{{ pattern }}')
{%- endmacro %}
