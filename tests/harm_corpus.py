"""Texts with harm planted in them, and texts that only look like it.

Made from what tokenizers, banks and providers of keys publish, not from the rules
that look for it, so that what they find can be counted. Every secret is made here
of random letters; checksums are right where a real one has them.
"""

import csv
import json
import random
import re
import string
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.workspace import REPOSITORY

_GIVEN = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))


class Text(NamedTuple):
    """A text, the rule that it breaks, if any, and what it was made of."""

    rule: str | None
    source: str
    text: str


class Corpus(NamedTuple):
    """Texts for the answer of an example, and whole pairs of a title and one."""

    texts: list[Text]
    pairs: list[tuple[str | None, str, str]]


def corpus() -> Corpus:
    """Return the same texts every time."""
    draw = random.Random("harm")  # noqa: S311 - rows, not secrets
    carriers = _carriers()
    texts = [Text(None, "carrier", carrier) for carrier in carriers]
    for rule, planted, near in _strings(draw):
        for text in planted:
            texts += [Text(rule, text, t) for t in _around(text, carriers, draw)]
        for text in near:
            texts += [Text(None, text, t) for t in _around(text, carriers, draw)]
    texts += [Text("mojibake", c, broken) for c in carriers for broken in _broken(c)]
    words = _GIVEN["null-word"]
    texts += [Text("null-word", word, word) for word in words["planted"]]
    texts += [Text(None, word, word) for word in words["near"]]
    pairs: list[tuple[str | None, str, str]] = []
    titles = dict.fromkeys(carrier[:30].strip().lower() for carrier in carriers)
    for number, title in enumerate([*titles][:40]):
        same = title.upper() if number % 2 else title
        pairs.append(("answer-is-question", title, same))
        pairs.append((None, title, f"{title}, {number}"))
    for number in range(10):
        many = number % 2 == 1
        often = 12 + number if many else 11
        harm = "answer-for-many" if many else None
        answer = f"Our classic in edition {number}."
        pairs += [(harm, f"Lamp {number}-{k}", answer) for k in range(often)]
    return Corpus(list({text.text: text for text in texts}.values()), pairs)


def _strings(draw: random.Random) -> Iterator[tuple[str, list[str], list[str]]]:
    for rule, given in _GIVEN.items():
        if rule not in {"null-word", "ibans"}:
            yield rule, given["planted"], given["near"]
    ibans = [_iban(country, rest) for country, rest in _GIVEN["ibans"].items()]
    grouped = [" ".join(n[i : i + 4] for i in range(0, len(n), 4)) for n in ibans]
    wrong = [n[:2] + f"{(int(n[2:4]) + 1) % 97:02}" + n[4:] for n in ibans]
    yield "iban", ibans + grouped, [*wrong, "DE12 and AB34", "GB82", "AT 12 MODEL 1234"]
    cards = [_card(draw, prefix, size) for prefix, size in _PREFIXES * 2]
    faulty = [c[:-1] + str((int(c[-1]) + 1) % 10) for c in cards]
    serials = ["0000000000000000", "EAN 4006381333931", "IMEI 356938035643809"]
    serials += ["1234567890123456", "9912345678901234", "00340434161094042557"]
    yield (
        "payment-card",
        cards + [_spaced(c, s) for c in cards for s in " -"],
        [
            *faulty,
            *serials,
        ],
    )
    near = [_made(form)(draw) for form in _NO_KEYS.split()]
    yield "secret", [make(draw) for make in _KEYS], near


def _carriers() -> list[str]:
    """Return product texts in many languages without any harm."""
    with (REPOSITORY / "examples/products.csv").open(encoding="utf-8") as file:
        contents = [row["content"].strip() for row in csv.DictReader(file)]
    fair = (c for c in contents if len(c) > 40 and not set(c) & set("<>&@\\[{"))
    return list(dict.fromkeys(fair))[:150]


def _around(text: str, carriers: list[str], draw: random.Random) -> Iterator[str]:
    """Yield the text at the beginning, within and at the end of product texts."""
    start, middle, end = draw.sample(carriers, 3)
    words = middle.split(" ")
    words.insert(draw.randrange(1, max(len(words), 2)), text)
    yield f"{text} {start}"
    yield " ".join(words)
    yield f"{end} {text}"


def _broken(text: str) -> Iterator[str]:
    """Yield UTF-8 that was read as Windows-1252, and as Latin-1, if that changes it."""
    raw = text.encode()
    if text.isascii():
        return
    yield "".join(_CP1252.get(byte, chr(byte)) for byte in raw)
    yield raw.decode("latin-1")


_CP1252 = {b: bytes([b]).decode("cp1252", "ignore") or chr(b) for b in range(256)}


def _iban(country: str, rest: str) -> str:
    turned = "".join(str(int(c, 36)) for c in f"{rest}{country}00")
    return f"{country}{98 - int(turned) % 97:02}{rest}"


_PREFIXES = [("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16),
             ("35", 16), ("62", 16), ("36", 14), ("55", 16)]  # fmt: skip


def _card(draw: random.Random, prefix: str, size: int) -> str:
    if prefix == "35":
        prefix = "3530"
    digits = prefix + "".join(draw.choices(string.digits, k=size - len(prefix) - 1))
    for last in string.digits:
        doubled = [int(d) * 2 for d in (digits + last)[-2::-2]]
        plain = [int(d) for d in (digits + last)[-1::-2]]
        if (sum(d - 9 * (d > 9) for d in doubled) + sum(plain)) % 10 == 0:
            return digits + last
    raise AssertionError


def _spaced(number: str, separator: str) -> str:
    sizes = (4, 4, 4, 4) if len(number) == 16 else (4, 6, len(number) - 10)
    groups, place = [], 0
    for size in sizes:
        groups.append(number[place : place + size])
        place += size
    return separator.join(groups)


_WORD = string.ascii_letters + string.digits
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def _made(form: str) -> Callable[[random.Random], str]:
    """Return what makes a key: in the form, `{24w}` are 24 random letters of a kind."""

    def make(draw: random.Random) -> str:
        return re.sub(
            r"\{(\d+)(\w)\}",
            lambda part: "".join(draw.choices(_KINDS[str(part[2])], k=int(part[1]))),
            form,
        )

    return make


def _with_checksum(prefix: str) -> Callable[[random.Random], str]:
    def make(draw: random.Random) -> str:
        body = "".join(draw.choices(_BASE62, k=30))
        code, digits = zlib.crc32(body.encode()), ""
        for _ in range(6):
            code, digit = divmod(code, 62)
            digits = _BASE62[digit] + digits
        return prefix + body + digits

    return make


_KINDS = {
    "w": _WORD,
    "u": _WORD + "_-",
    "h": "0123456789abcdef",
    "b": string.ascii_uppercase + "234567",
    "A": string.ascii_uppercase,
    "l": string.ascii_letters,
    "d": string.digits[1:],
}
# Of the last three nothing tells that they are keys.
_FORMS = """
github_pat_{22w}_{59w} AKIA{16b} ASIA{16b} AIza{35u} GOCSPX-{28u} sk_live_{24w}
rk_live_{99w} whsec_{32w} xoxb-{12d}-{13d}-{24w} xoxp-{11d}-{12d}-{32h}
xapp-1-A{10A}-{13d}-{64h} https://hooks.slack.com/services/T{10w}/B{10w}/{24w} sk-{48w}
sk-proj-{74u}T3BlbkFJ{74u} sk-svcacct-{120u} sk-ant-api03-{93u}AA sk-{32h}
sk-or-v1-{64h} hf_{34l} gsk_{52w} xai-{80w} nvapi-{64u} r8_{37w} pplx-{48w} glpat-{20u}
pypi-AgEIcHlwaS5vcmc{100u} SG.{22u}.{43u} shpat_{32h} dop_v1_{64h} dckr_pat_{27u}
{10d}:AA{33u} ntn_{46w} lin_api_{40w} figd_{40u} hvs.{90u} ya29.{120u} sq0atp-{22u}
key-{32h} eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{24w}.{43u} SK{32h} dapi{32h} {40u}
"""
_PRIVATE = ("", "RSA ", "OPENSSH ", "ENCRYPTED ", "EC ")
_KEYS = [
    *map(_with_checksum, ("ghp_", "gho_", "ghu_", "ghs_", "npm_")),
    *map(_made, _FORMS.split()),
    *(_made(f"-----BEGIN {kind}PRIVATE KEY-----") for kind in _PRIVATE),
    _made("-----BEGIN PGP PRIVATE KEY BLOCK-----"),
]
_NO_KEYS = """
ghp_{36w} {64h} SN-{16b} https://example.com/p/{22u} {8h}-{4h}-4{3h}-a{3h}-{12h}
risk-averse task-1234567890 desk-lamp-with-a-very-long-name-2024 AKIAH eyJust
mask-proj-set hf_transfer npm_config_registry key-value SG.1.2 ASIAPACIFICREGIONX sk-SK
xoxo-hugs-and-kisses sk-learn ASIAN-style key-lime-pie data:image/png;base64,iVBORw0KGgo
-----BEGIN-PUBLIC-KEY-----
"""


def chat_line(title: str, answer: str) -> bytes:
    """Return an example as a line."""
    messages = [
        {"role": "user", "content": title},
        {"role": "assistant", "content": answer},
    ]
    return json.dumps({"messages": messages}, ensure_ascii=False).encode() + b"\n"
