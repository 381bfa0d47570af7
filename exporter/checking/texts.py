"""What harms in a text though no reader refuses it: pure, no input or output.

The expressions keep to what PostgreSQL, Spark and Python share, as the data tests
of dbt look for the same; a test holds both to the same finds.
"""

import re
from collections.abc import Iterator

from exporter.checking.cards import holds_card, holds_iban
from exporter.checking.keys import key_in

# Of the tokenizers of Llama, Mistral, Gemma, Qwen, DeepSeek, GLM, T5 and StarCoder,
# and what Amazon Nova refuses (their vocabularies and chat templates, 2026-11-25).
SPECIAL_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_-]{1,40}\|>|<\uff5c[^<>]{1,40}\uff5c>"
    r"|</?s>|<(bos|eos|pad|unk|mask|sop|eop|image|video)>|<</?SYS>>"
    r"|<(start|end)_of_(turn|image)>|</?(think|tool_call|tool_response|tools)>"
    r"|<fim_(prefix|middle|suffix|pad)>|<(extra_id_|unused)[0-9]{1,4}>"
    r"|<(BOS|EOS|PAD|UNK)(_TOKEN)?>"
    r"|\[/?(INST|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT|THINK)\]"
    r"|\[(TOOL_CALLS|TOOL_CONTENT|CALL_ID|ARGS|IMG|IMG_BREAK|IMG_END|EOS|gMASK|sMASK)\]"
)

_HTML = (
    (
        r"</?(a|b|i|u|p|br|hr|li|ul|ol|dl|dt|dd|em|h[1-6]|div|span|strong|small|big|sub|sup"
        r"|del|ins|font|center|table|tbody|thead|tr|td|th|img|pre|code|blockquote|script"
        r"|style|html|body|head|title|meta|link|input|button|form|label|select|option"
        r"|iframe|section|article|header|footer|nav|figure|figcaption|picture|source"
        r"|audio|svg|tt|kbd|abbr|strike|cite|A|B|I|U|P|BR|HR|LI|UL|OL|EM|H[1-6]|DIV|SPAN"
        r"|STRONG|FONT|CENTER|TABLE|TR|TD|TH|IMG)( [^<>]*| ?/)?>"
    ),
    (
        r"&(amp|lt|gt|quot|apos|nbsp|copy|reg|trade|euro|pound|yen|cent|deg|middot|bull"
        r"|hellip|ndash|mdash|[lr][sd]quo|sbquo|bdquo|[lr]aquo|times|divide|frac[1-4]{2}"
        r"|sup[1-3]|micro|para|sect|shy|ensp|emsp|thinsp|szlig|eth|thorn"
        r"|[AEIOUYaeiouyNnCcOo](acute|grave|circ|tilde|uml|ring|cedil|slash|lig)|[AaOo]Elig"
        r"|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});"
    ),
)
HTML = re.compile("|".join(_HTML))

# What a byte from 0x80 to 0xBF becomes in Latin-1 or Windows-1252; of these the
# quotes and dots may follow a capital letter by right.
_ANY = "\u0080-\u00bf" + bytes(range(0x80, 0xA0)).decode("cp1252", "ignore")
_RARE = re.sub("[\u2018\u2019\u201c\u201d\u2026]", "", _ANY).replace(
    "\u0080-\u00bf", "\u0080-\u00aa\u00ac-\u00ba\u00bc-\u00bf"
)
_RAREST = (
    "\u0080-\u009f¡¢¥¦¨¯±³¶¼½¾\u201a\u0192\u2020\u2021\u02c6\u2030\u0160\u0152\u017d"
    "\u02dc\u2122\u0161\u0153\u017e\u0178"
)
MOJIBAKE = re.compile(
    # One is enough: é, the no-break space, typographic quotes, €, ™, an emoji.
    f"[ÃÂ][{_RARE}]|â€|â[\u201a\u0082]¬|â[\u201e\u0084][¢\u2122]|â\u0080[{_ANY}]|ï»¿|ï¿½"
    f"|â[\u02c6\u2020\u0153][{_ANY}]|ð[\u0178\u009f]|[ÄÅ][{_RAREST}]"
    # Other scripts come in runs.
    f"|([ÐÑ][{_ANY}]){{3}}|([ÎÏ][{_ANY}]){{3}}|(\u00d7[{_ANY}]){{3}}"
    f"|([ØÙÚÛ][{_ANY}]){{3}}|([ã-í][{_ANY}][{_ANY}]){{2}}|(à[¤-»][{_ANY}]){{2}}"
)

# An escape that was escaped again. Paths (C:\new) and formulas (\neq) are none.
ESCAPE = re.compile(
    r"\\r\\n|\\u[0-9a-fA-F]{4}|(^|[^:\\])\\[nt]([^a-zA-Z]|[A-Z][A-Za-z0-9 ]|$)"
    r"|(^| )[^ \\:/$]*[a-z.,!?;)][a-z.,!?;)]\\[nt][a-z]"
)

CONTROL = re.compile(
    "[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f]"
)

EMAIL = re.compile(
    r"[A-Za-z0-9]@([A-Za-z]|[0-9]{3})[A-Za-z0-9-]*([.][A-Za-z0-9-]+)*[.][A-Za-z]{2}"
)

PHONE = re.compile(
    r"(^|[^0-9A-Za-z.,])([+]|00)[1-9][0-9]{0,2}[ ()/.-]{1,2}[0-9(]"
    r"([ ()/.-]{0,2}[0-9]){6,12}($|[^0-9])"
    r"|(^|[^0-9A-Za-z.,])[+][1-9][0-9]{9,13}($|[^0-9])"
    r"|(^|[^0-9A-Za-z])[(]0?[1-9][0-9]{1,4}[)] ?[0-9]{3,4}[ -][0-9]{3,5}($|[^0-9])"
    r"|([Tt]el|TEL|[Pp]hone|[Ff]ax|[Mm]obile?|[Hh]otline|[Cc]all)([.: ]|efon|: )*"
    r"[0-9]{2,5}[ /-]([ /-]{0,2}[0-9]){5,10}($|[^0-9])"
)

# The same for lines; an expression is fast if it begins with one character.
_TAG, _ENTITY = (re.compile(pattern.encode()) for pattern in _HTML)
_LESS, _AND = b"<&"
_ESCAPED = {b"\\u003c": b"<", b"\\u003e": b">", b"\\u0026": b"&"}

_NULL_WORDS = [
    *("nan", "null", "none", "nil", "n/a", "n.a.", "undefined", "nat", "tbd", "todo"),
    *("#n/a", "#name?", "#ref!", "#value!", "#div/0!"),
    *("<na>", "<null>", "<none>", "(null)"),
]
# A word in every case that programs write; of \N one only.
NULL_WORDS = frozenset(
    {form for w in _NULL_WORDS for form in (w, w.upper(), w.capitalize(), w.title())}
    | {"NaN", "NaT", "NA", "\\N", "[object Object]"}
)
# A dash may be asked about, but is no answer.
NULL_ANSWERS = NULL_WORDS | {"-", "--", "---", "?", "..."}

# Blanks, and what is as empty as they are.
INVISIBLE = frozenset(
    " \t\n\r\u000b\f\u001c\u001d\u001e\u001f\u0085\u00a0\u00ad\u034f\u115f\u1160\u1680"
    "\u17b4\u17b5\u180b\u180c\u180d\u180e\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u202f"
    "\u205f\u2800\u3000\u3164\ufeff\uffa0"
).union(
    map(chr, [*range(0x2000, 0x2010), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10)])
)


def text_harms(text: str) -> Iterator[tuple[str, str]]:
    """Yield the rules that a text breaks, and what was found in it."""
    for rule, pattern in _PATTERNS.items():
        found = pattern.search(text)
        if found:
            yield rule, found[0].strip()
    key = key_in(text)
    if key:
        yield "secret", key
    if holds_card(text):
        yield "payment-card", ""
    elif holds_iban(text):
        yield "iban", ""
    elif PHONE.search(text):
        yield "phone-number", ""


_PATTERNS = {
    "special-token": SPECIAL_TOKEN,
    "mojibake": MOJIBAKE,
    "literal-escape": ESCAPE,
    "control-character": CONTROL,
    "email-address": EMAIL,
}


def holds_html(line: bytes) -> bool:
    """Say whether a line of JSON holds a tag or an entity of HTML."""
    if b"\\u00" in line:
        for escaped, character in _ESCAPED.items():
            line = line.replace(escaped, character)
    if _LESS not in line and _AND not in line:
        return False
    return _TAG.search(line) is not None or _ENTITY.search(line) is not None


def is_invisible(text: str) -> bool:
    """Say whether a text holds nothing that can be seen."""
    return INVISIBLE.issuperset(text)
