"""Card numbers, IBANs and keys are found by their form and their check digits."""

import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.checking.private import KEY, contains_card, contains_iban, find_key
from exporter.checking.texts import (
    PATTERNS,
    PHONE,
    may_have_harms,
    number_rule,
    text_harms,
)

# The numbers that payment providers publish for tests.
CARDS = [
    "4242424242424242",
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "5555555555554444",
    "2223003122003222",
    "6011111111111117",
    "3530111333300000",
    "378282246310005",
    "3782 822463 10005",
    "3056 930902 5904",
]


@pytest.mark.parametrize("card", CARDS)
def test_the_number_of_a_card_is_found_within_a_text(card: str) -> None:
    assert contains_card(f"order 4242424242424241, pay {card}.")


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",  # Another check digit,
        "4242424242424422",  # two digits that changed places,
        "7242424242424249",  # nobody's first digit,
        "42424242424242421",  # a digit more,
        "x4242424242424242",  # part of a word,
        "4242424242424242.5",  # or of a number,
        "4242 4242-4242 4242",  # two kinds of gap.
    ],
)
def test_a_number_that_only_looks_like_a_card_is_not_reported(text: str) -> None:
    assert not contains_card(text)


# The registry's own examples: the shortest, the longest and some between.
IBANS = [
    "NO9386011117947",
    "NO93 8601 1117 947",
    "DE89370400440532013000",
    "GB82 WEST 1234 5698 7654 32",
    "FR1420041010050500013M02606",
    "MT84MALT011000012345MTLCAST001S",
    "RU0304452522540817810538091310419",
]


@pytest.mark.parametrize("iban", IBANS)
def test_an_iban_is_found_within_a_text(iban: str) -> None:
    assert contains_iban(f"to DE89 3704 0044 0532 0130 01 or {iban}, please")


@pytest.mark.parametrize(
    "text",
    [
        "DE89370400440532013001",  # Another digit,
        "DE98370400440532013000",  # other check digits,
        "DE8937040044053201300",  # a digit less,
        "XX89370400440532013000",  # no country,
        "1DE89370400440532013000",  # part of a word.
    ],
)
def test_a_number_that_only_looks_like_an_iban_is_not_reported(text: str) -> None:
    assert not contains_iban(text)


def test_a_word_in_capitals_may_follow_an_iban() -> None:
    assert contains_iban("DE89 3704 0044 0532 0130 00 BIC")
    assert contains_iban("pay NO9386011117947 NOW")


def test_a_token_with_a_wrong_checksum_is_not_reported() -> None:
    body = "A" * 30
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, code = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        code = digits[digit] + code
    token = f"ghp_{body}{code.rjust(6, '0')}"
    assert find_key(f"use {token} here") == "ghp_AAAAAA..."
    for wrong in (f"ghp_{body}{'0' * 6}", token.replace("AA", "AB", 1)):
        assert find_key(wrong) is None
    # One that is none does not hide the next.
    assert find_key(f"ghp_{body}{'0' * 6} or {token}") == "ghp_AAAAAA..."


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("AKIA" + "A" * 16, "AKIAAAAAAA..."),
        ("AIza" + "x" * 35, "AIzaxxxxxx..."),
        ("sk-proj-" + "x" * 20, "sk-proj-xx..."),
        ("-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN..."),
        ("hf_" + "x" * 34, "hf_xxxxxxx..."),
    ],
)
def test_only_the_first_characters_of_a_key_are_shown(key: str, said: str) -> None:
    assert find_key(f"it is {key}") == said
    assert find_key(key[:-1]) is None
    assert find_key("a text of some words") is None


PHONE_LIKE = st.lists(
    st.one_of(
        st.text("0123456789", min_size=1, max_size=6),
        st.text(" ()/.-", max_size=5),
        st.sampled_from(["+", "00", "(0", "\n", ",", "Tel", "t\u00e9lefon: ", "call "]),
    ),
    max_size=12,
).map("".join)
ACCOUNT_LIKE = st.from_regex(r"\A[A-Z]{2}[0-9]{2}( ?[0-9A-Z]{4}){2,7}\Z")


@given(
    st.one_of(st.from_regex(PHONE), st.sampled_from(CARDS), PHONE_LIKE, ACCOUNT_LIKE)
)
@example("Tel 12 / 34567")
@example("+7 ((((234567")
@example("line\n0049 30 1234567")
@example("0049/30/1234567")
def test_the_quick_test_misses_no_number(text: str) -> None:
    if number_rule(text):
        assert may_have_harms(text.encode())


def test_the_quick_test_rejects_product_numbers() -> None:
    text = (
        "EAN 4006381333931, 1920 x 1080 mm, 230 V / 50-60 Hz, ISBN 978-3-16-148410-0, "
        "10 000 000 cycles, 2024-05-01 to 2025-05-01, Art. 123456789, DN40 1234"
    )
    assert not may_have_harms(text.encode())


@given(st.from_regex(KEY))
@example("xapp-1-ABCDEFGHI")
@example("1972625117:AAoj1Cg47xN5Ip1PsXpPbM69qCw81Jbhru5")
def test_the_quick_test_misses_no_key(text: str) -> None:
    if find_key(text):
        assert may_have_harms(text.encode())


@pytest.mark.parametrize(
    "text", ["\u00d0\u2013\u00d0\u2013\u00d0\u00a0", "<_|>", "<a|>"]
)
def test_the_quick_test_misses_no_rare_harm(text: str) -> None:
    assert may_have_harms(text.encode())
    assert [*text_harms(text)]


@pytest.mark.parametrize("rule", PATTERNS)
@given(data=st.data(), before=st.text(), after=st.text())
def test_the_quick_test_misses_no_harm_among_other_texts(
    rule: str, data: st.DataObject, before: str, after: str
) -> None:
    text = data.draw(st.from_regex(PATTERNS[rule]))
    assert rule in dict(text_harms(text))
    several = f"{before}\n {text}\n {after}"
    assert may_have_harms(several.encode(errors="surrogatepass"))
