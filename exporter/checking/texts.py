"""What harms in a text though no reader refuses it: pure, no input or output.

The expressions keep to what PostgreSQL, Spark and Python share, as the data tests
of dbt look for the same; a test holds both to the same finds.
"""

import re
from collections.abc import Iterator

from exporter.checking.cards import holds_card, holds_iban
from exporter.checking.keys import key_in

# Of the vocabularies and chat templates of Llama, Mistral, Gemma, Qwen, DeepSeek, GLM,
# Command R, gpt-oss, Granite, StarCoder, T5, InternLM, Kimi, MiniMax, Seed, EXAONE and
# Nemotron, and what Amazon Nova refuses (2026-11-25). <filename> is too common a word.
SPECIAL_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_-]{1,40}\|?>|<[a-z_]{1,20}\|>|<\uff5c[^<>]{1,40}\uff5c>"
    r"|</?s>|<(bos|eos|pad|unk|mask|sop|eop|eo[ah]|image|video)>|<</?SYS>>"
    r"|<(start|end)_of_(turn|image|audio|utterance)>|<(image|audio|video)_soft_token>"
    r"|</?(think|tool_call|tool_response|tools)>|<fim_(prefix|middle|suffix|pad)>"
    r"|<(gh_stars|repo_?name|file_sep|empty_output|(issue|commit|jupyter)_[a-z]{3,8})>"
    r"|<(extra_id_|unused|reserved_|SPECIAL_)[0-9]{1,4}>|<(seed|minimax):[a-z_]{2,20}>"
    r"|<(BOS|EOS|PAD|UNK)(_TOKEN)?>|\[(BOS|EOS|EOT|PAD|UNK|PREFIX|MIDDLE|SUFFIX)\]"
    r"|\[/?(INST|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT|THINK|MODEL_SETTINGS)\]"
    r"|\[(TOOL_CALLS|TOOL_CONTENT|CALL_ID|ARGS|IMG|IMG_BREAK|IMG_END|gMASK|sMASK)\]"
    r"|\[(AUDIO|BEGIN_AUDIO|TRANSCRIBE)\]|\[\|(system|user|assistant|endofturn)\|\]"
    r"|\]~b\]|\]~!b\["
)

_HTML = (
    (
        r"<!--|</?(a|b|i|u|p|q|br|hr|li|ul|ol|dl|dt|dd|em|h[1-6]|div|span|strong|small"
        r"|big|sub|sup|del|ins|font|center|table|tbody|thead|tr|td|th|img|pre|code|style"
        r"|blockquote|script|html|body|head|title|meta|link|input|button|form|label|main"
        r"|select|option|iframe|section|article|header|footer|nav|figure|figcaption|tt"
        r"|picture|source|audio|video|svg|kbd|abbr|strike|cite|o:p|A|B|I|U|P|BR|Br|HR|LI"
        r"|UL|OL|EM|H[1-6]|DIV|SPAN|STRONG|FONT|CENTER|TABLE|TBODY|TR|TD|TH|IMG"
        r")([ \n\t\\][^<>]*|/)?>"
    ),
    (
        r"&(amp|lt|gt|quot|apos|nbsp|copy|reg|trade|euro|pound|yen|cent|deg|middot|bull"
        r"|hellip|[nm]dash|[lr][sd]quo|[sb]dquo|sbquo|[lr]aquo|times|divide|plusmn|minus"
        r"|frac[1-8]{2}|sup[1-3]|micro|para|sect|shy|e[nm]sp|thinsp|zwn?j|szlig|eth|thorn"
        r"|[lrud]arr|check|starf?|hearts|permil|infin|radic|i?excl|iquest|ord[fm]|alpha|beta"
        r"|[AEIOUYaeiouyNnCcOoSsZz](acute|grave|circ|tilde|uml|ring|cedil|slash|lig|caron)"
        r"|[AaOo]Elig|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});"
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
    "\u0080-\u009f¡¢¥¦¨¯±³¶¼½¾\u201a\u0192\u201e\u2020\u2021\u02c6\u2030\u0160\u0152\u017d"
    "\u02dc\u2122\u0161\u0153\u017e\u0178"
)
_SIGN = (
    "\u0086-\u009f\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u02dc\u2122\u0161\u203a"
    "\u0153\u017e"
)
MOJIBAKE = re.compile(
    # One is enough: é, the no-break space, typographic quotes, €, ™, a sign, an emoji.
    f"[ÃÂ][«{_RARE}]|â€|â[\u201a\u0082]¬|â[\u201e\u0084][¢\u2122]|â\u0080[{_ANY}]|ï»¿|ï¿½"
    f"|â[{_SIGN}][{_ANY}]|ð[\u0178\u009f]|[ÄÅÈÌ][{_RAREST}]"
    # Other scripts come in runs.
    f"|([ÐÑ][{_ANY}]){{3}}|([ÎÏ][{_ANY}]){{3}}|(\u00d7[{_ANY}]){{3}}"
    f"|([ØÙÚÛ][{_ANY}]){{3}}|([à-í][{_ANY}][{_ANY}]){{2}}"
    f"|(ð[{_ANY}][{_ANY}][{_ANY}]){{2}}"
)

# An escape that was escaped again. Paths (C:\new) and formulas (\neq) are none.
ESCAPE = re.compile(
    r"\\r\\n|\\u[0-9a-fA-F]{4}|(^|[^:\\])\\[nt]([^a-zA-Z]|[A-Z][A-Za-z0-9 ]|$)"
    r"|(^| )[^ \\:/$]*[a-z.,!?;)][a-z.,!?;)]\\\\?[nt][a-z]"
)

CONTROL = re.compile(
    "[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f]"
)

EMAIL = re.compile(
    r"[A-Za-z0-9]@([A-Za-z]|[0-9]{3})[A-Za-z0-9\u00df-\u024f-]*"
    r"([.][A-Za-z0-9\u00df-\u024f-]+)*[.][A-Za-z]{2}"
)

# A country's code and a separator; a code alone; in the form of North America; an
# area in parentheses; after a word that says so.
PHONE = re.compile(
    r"(^|[^0-9A-Za-z.,])([+]|00)(1|7|[2-689][0-9]{1,2})[ ()/.-]{1,2}[0-9(]"
    r"([ ()/.-]{0,2}[0-9]){6,12}($|[^0-9])"
    r"|(^|[^0-9A-Za-z.,])[+][1-9][0-9]{9,13}($|[^0-9])"
    r"|(^|[^0-9A-Za-z.,/-])(1[.-])?[2-9][0-9]{2}([.][2-9][0-9]{2}[.]|-[2-9][0-9]{2}-)"
    r"[0-9]{4}($|[^0-9A-Za-z.,/-]|[.,]($|[^0-9]))"
    r"|(^|[^0-9A-Za-z])[(]0?[1-9][0-9]{1,4}[)] ?[0-9]{3,4}[ -][0-9]{3,5}($|[^0-9])"
    r"|(^|[^0-9A-Za-z])[(]0[1-9][0-9]{1,4}[)] ?[0-9]{5,8}($|[^0-9])"
    r"|(T[e\u00e9]l|t[e\u00e9]l|TEL|[Pp]hone|[Ff]ax|[Mm]obile?|[Hh]otline|[Cc]all)"
    r"([.: ]|efon)*[0-9]{2,5}[ /-]([ /-]{0,2}[0-9]){5,10}($|[^0-9])"
)

# The same for lines; an expression is fast if it begins with one character.
_TAG, _ENTITY = (re.compile(pattern.encode()) for pattern in _HTML)
_LESS, _AND = b"<&"
_ESCAPED = {b"\\u003c": b"<", b"\\u003e": b">", b"\\u0026": b"&"}

_NULL_WORDS = [
    *("nan", "null", "none", "nil", "n/a", "n.a.", "undefined", "nat", "tbd", "todo"),
    *("#n/a", "#name?", "#ref!", "#value!", "#div/0!"),
    *("<na>", "<null>", "<none>", "(null)", "(none)", "(blank)"),
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


# What every card, account and phone has, in UTF-8 with its digits as 0 and without
# backslashes. An expression is fast if it begins with one character, or with zeros.
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_MAY_BE_ACCOUNT = re.compile(rb"00(?<=[A-Z]{2}00)(?: ?[0A-Z]{4}){2} ?[0A-Z]{3}")
_MAY_BE_NUMBER = re.compile(
    rb"0(?:0[ ()/.-]{0,3}|[ ()/.-]{0,5}0[ ()/.-]{0,2})0(?:[ ()/.-]{0,2}0){4}"
)
_MAY_BE_CARD_OR_PHONE = [
    re.compile(rb"0000(?:0{10}|[ -]0000[ -]0000[ -]0000|[ -]000000[ -]0000)"),
    re.compile(rb"\+0[0 ()/.-]{8}"),
    re.compile(rb"\(0{2,6}\) ?000"),
    re.compile(rb"000[.-]000[.-]0000"),
]
_MAY_BE_CALLED = re.compile(rb"000{0,3}[ /-]{1,3}0(?:[ /-]{0,2}0){4}")
# The same with digits and backslashes.
_CALLED = re.compile(
    rb"(?:[Tt](?:e|\xc3\xa9)l|TEL|hone|[Ff]ax|obile?|otline|[Cc]all)"
    rb"(?:[.: ]|efon)*[0-9]"
)
_ABROAD = re.compile(
    rb"00(?:(?<![0-9A-Za-z.,]00)|(?<=\\[nrtbf]00))[1-9][0-9 ()/.\\-]{7}"
)


def may_hold_number(text: bytes) -> bool:
    """Say whether UTF-8, or JSON without escaped digits, may hold `number_in`."""
    shape = text.translate(_DIGITS, b"\\")
    if _MAY_BE_ACCOUNT.search(shape):
        return True
    return _MAY_BE_NUMBER.search(shape) is not None and (
        any(pattern.search(shape) for pattern in _MAY_BE_CARD_OR_PHONE)
        or _ABROAD.search(text) is not None
        or (
            _MAY_BE_CALLED.search(shape) is not None
            and _CALLED.search(text) is not None
        )
    )


def number_in(text: str) -> str:
    """Return the rule against a number of a person or an account; "" for none."""
    if holds_card(text):
        return "payment-card"
    if holds_iban(text):
        return "iban"
    return "phone-number" if PHONE.search(text) else ""


def text_harms(text: str) -> Iterator[tuple[str, str]]:
    """Yield the rules that a text breaks, and what was found in it."""
    for rule, pattern in _PATTERNS.items():
        if rule == "mojibake" and text.isascii():
            continue
        if rule == "literal-escape" and "\\" not in text:
            continue
        if rule == "email-address" and "@" not in text:
            continue
        if rule == "special-token" and not ("<" in text or "[" in text or "]" in text):
            continue
        found = pattern.search(text)
        if found:
            yield rule, found[0].strip()
    key = key_in(text)
    if key:
        yield "secret", key
    if may_hold_number(text.encode(errors="surrogatepass")):
        number = number_in(text)
        if number:
            yield number, ""


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
