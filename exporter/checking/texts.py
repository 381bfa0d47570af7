"""Find harms in a text: what no reader refuses, but the model would learn.

Most expressions and words are in harms.yml. Pure functions, no input or output.
"""

import re
from collections.abc import Iterator

from exporter.checking.private import contains_card, contains_iban, find_key
from exporter.checking.tables import any_of, table

_HTML = (
    rf"<!--|</?({any_of('html_tags')})([ \n\t\\][^<>]*|/)?>",
    f"&({any_of('html_entities')});",
)
HTML = re.compile("|".join(_HTML))

# What a byte from 0x80 to 0xBF becomes in Latin-1 or Windows-1252. Of these,
# quotes and dots may rightly follow a capital letter.
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
    # One of these is enough: é, the no-break space, quotes, €, ™, a sign, an emoji.
    f"[ÃÂ][«{_RARE}]|â€|â[\u201a\u0082]¬|â[\u201e\u0084][¢\u2122]|â\u0080[{_ANY}]|ï»¿|ï¿½"
    f"|â[{_SIGN}][{_ANY}]|ð[\u0178\u009f]|[ÄÅÈÌ][{_RAREST}]"
    # Letters of other scripts appear in runs.
    f"|([ÐÑ][{_ANY}]){{3}}|([ÎÏ][{_ANY}]){{3}}|(\u00d7[{_ANY}]){{3}}"
    f"|([ØÙÚÛ][{_ANY}]){{3}}|([à-í][{_ANY}][{_ANY}]){{2}}"
    f"|(ð[{_ANY}][{_ANY}][{_ANY}]){{2}}"
)

# A text breaks a rule if it contains the pattern.
PATTERNS = {
    "nul": re.compile("\0"),
    "replacement-character": re.compile("\ufffd"),
    "special-token": re.compile(any_of("special_token")),
    "mojibake": MOJIBAKE,
    "literal-escape": re.compile(any_of("escape")),
    "control-character": re.compile(
        "[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f]"
    ),
    "email-address": re.compile(
        r"[A-Za-z0-9]@([A-Za-z]|[0-9]{3})[A-Za-z0-9\u00df-\u024f-]*"
        r"([.][A-Za-z0-9\u00df-\u024f-]+)*[.][A-Za-z]{2}"
    ),
}
PHONE = re.compile(any_of("phone"))

# The same for the bytes of JSON, which may have a backslash before each slash. An
# expression is fast if it begins with one fixed character.
_TAG, _ENTITY = (re.compile(p.replace("</?", r"<(?:\\?/)?").encode()) for p in _HTML)
_LESS, _AND = b"<&"
_ESCAPED = re.compile(rb"\\u00(3[cCeE]|26)")

_NULL_WORDS: list[str] = table("harms")["null_words"]
# Each word in every case that programs write it.
NULL_WORDS = frozenset(
    {form for w in _NULL_WORDS for form in (w, w.upper(), w.capitalize(), w.title())}
    | {"NaN", "NaT", "NA", "\\N", "[object Object]"}
)
# A dash may be a question, but is no answer.
NULL_ANSWERS = NULL_WORDS | {"-", "--", "---", "\u2013", "\u2014", "?", "...", "\u2026"}

# Blanks, and other characters that show nothing: Unicode's White_Space and
# Default_Ignorable_Code_Point, the separators of ASCII, marks of annotations and the
# blank of Braille.
INVISIBLE = frozenset(
    " \t\n\r\u000b\f\u001c\u001d\u001e\u001f\u0085\u00a0\u00ad\u034f\u061c\u115f\u1160"
    "\u1680\u17b4\u17b5\u202f\u205f\u2800\u3000\u3164\ufeff\uffa0"
).union(
    map(chr, [*range(0x180B, 0x1810), *range(0x2000, 0x2010), *range(0x2028, 0x202F)]),
    map(chr, [*range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFFC)]),
    map(chr, [*range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)]),
    map(chr, range(0xE0000, 0xE1000)),
)


# What one byte of UTF-8 became when it was read as Latin-1 or Windows-1252.
_MISREAD = (
    rb"(?:\xc2[\x80-\xbf]|\xc5[\x92\x93\xa0\xa1\xb8\xbd\xbe]|\xc6\x92|\xcb[\x86\x9c]"
    rb"|\xe2(?:\x80[\x80-\xbf]|\x82\xac|\x84\xa2))"
)
# A quick test before the exact one: a text with a harm contains one of these bytes,
# and there the expression beside it. One byte is found ten times faster than two.
_QUICK_TESTS = {
    first[0]: re.compile(pattern.replace(b"ANY", _MISREAD))
    for first, pattern in {
        b"<": rb"<(?:[|<\xef]|/?s>|[a-z]{0,20}[_|:]|/?t(?:hink|ools)>|/tool|/arg_"
        rb"|unused|(?:[bes]o[adhps]|pad|unk|mask|cls|sep|image|video|reponame)>"
        rb"|[BEMPSU][A-Z]{2})",
        b"[": rb"\[(?:\||/?(?:INST|TOOL|AVAIL|SYSTEM|THINK|CALL|ARGS|IMG|gMASK|sMASK"
        rb"|BOS|EO[ST]|PAD|UNK|UNUSED|CLS|SEP|MASK|e~|PREF|MIDD|SUFF|BEGIN|AUDIO|TRANS|MODEL))",
        b"]": rb"\]~",
        b"\\": rb"\\[nrtu]",
        b"@": rb"@[A-Za-z0-9][^ @]*[.]",
        b"-": rb"-(?:[A-Za-z0-9_-]{20}|[0-9]-[A-Z0-9]{9}|----BEGIN)",
        b"_": rb"_[A-Za-z0-9+/_-]{16}",
        b".": rb"[.](?:[A-Za-z0-9_-]{16}|slack)",
        b":": rb":AA[A-Za-z0-9_-]{33}",
        b"A": rb"A(?:[KS]IA[A-Z2-7]|Iza)",
        b"J": rb"J(?<=eyJ)",
        b"\xc2": rb"\xc2[\x80-\x84\x86-\x9f]",
        b"\xc3": rb"\xc3(?:[\x82-\x85\x88\x8c\xa2\xaf\xb0]ANY|[\x8e-\x9b]ANY\xc3"
        rb"|[\xa0-\xad]ANYANY)",
        b"\xef": rb"\xef\xbf\xbd",
    }.items()
}

# A mask: every digit becomes 0, and every control character DEL.
_CONTROLS = bytes({*range(32)} - {*b"\t\n\r"})
_MASK = bytes.maketrans(b"123456789" + _CONTROLS, b"0" * 9 + b"\x7f" * len(_CONTROLS))
_DEL = 0x7F

# Every number of a card, an account or a phone matches one of these once masked. An
# expression is fast if it begins with one fixed character, or with zeros.
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
_MAY_BE_PHONE_AFTER_WORD = re.compile(rb"000{0,3}[ /-]{1,3}0(?:[ /-]{0,2}0){4}")
# These match the text before it is masked: a word such as Tel, and 00 with the code
# of a country.
_PHONE_WORD = re.compile(
    rb"(?:[Tt](?:e|\xc3\xa9)l|TEL|hone|[Ff]ax|obile?|otline|[Cc]all)"
    rb"(?:[.: ]|efon)*[0-9]"
)
_INTERNATIONAL_PHONE = re.compile(rb"00(?<![0-9A-Za-z.,]00)[1-9][0-9 ()/.-]{7}")


def may_have_harms(text: bytes) -> bool:
    """Return whether `text_harms` may find anything in the text, which is UTF-8.

    False is certain, also for each of several texts joined by line ends.
    """
    if any(byte in text and test.search(text) for byte, test in _QUICK_TESTS.items()):
        return True
    masked = text.translate(_MASK)
    if _DEL in masked or _MAY_BE_ACCOUNT.search(masked):
        return True
    return _MAY_BE_NUMBER.search(masked) is not None and (
        any(pattern.search(masked) for pattern in _MAY_BE_CARD_OR_PHONE)
        or _INTERNATIONAL_PHONE.search(text) is not None
        or (
            _MAY_BE_PHONE_AFTER_WORD.search(masked) is not None
            and _PHONE_WORD.search(text) is not None
        )
    )


def number_rule(text: str) -> str:
    """Return the rule that a card, account or phone number breaks; "" for none."""
    if contains_card(text):
        return "payment-card"
    if contains_iban(text):
        return "iban"
    return "phone-number" if PHONE.search(text) else ""


def text_harms(text: str) -> Iterator[tuple[str, str]]:
    """Yield each rule that a text breaks, and the words that break it."""
    if not may_have_harms(text.encode(errors="surrogatepass")):
        return
    for rule, pattern in PATTERNS.items():
        found = pattern.search(text)
        if found:
            yield rule, found[0].strip()
    key = find_key(text)
    if key:
        yield "secret", key
    rule = number_rule(text)
    if rule:
        yield rule, ""


def contains_html(line: bytes) -> bool:
    """Return whether a line of JSON contains a tag or an entity of HTML."""
    if b"\\u00" in line:
        line = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), line)
    if _LESS not in line and _AND not in line:
        return False
    return _TAG.search(line) is not None or _ENTITY.search(line) is not None


def is_invisible(text: str) -> bool:
    """Return whether every character of a text is invisible."""
    return INVISIBLE.issuperset(text)
