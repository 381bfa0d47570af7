"""Card numbers, IBANs and keys are known by their form and by their check digits."""

import zlib

import pytest

from exporter.checking.cards import holds_card, holds_iban
from exporter.checking.keys import key_in

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
    assert holds_card(f"order 4242424242424241, pay {card}.")


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
def test_what_only_looks_like_a_card_is_none(text: str) -> None:
    assert not holds_card(text)


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
    assert holds_iban(f"to DE89 3704 0044 0532 0130 01 or {iban}, please")


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
def test_what_only_looks_like_an_iban_is_none(text: str) -> None:
    assert not holds_iban(text)


def test_a_word_in_capitals_may_follow_an_iban() -> None:
    assert holds_iban("DE89 3704 0044 0532 0130 00 BIC")
    assert holds_iban("pay NO9386011117947 NOW")


def test_a_token_with_a_checksum_is_known_by_it() -> None:
    body = "A" * 30
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, code = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        code = digits[digit] + code
    token = f"ghp_{body}{code.rjust(6, '0')}"
    assert key_in(f"use {token} here") == "ghp_AAAAAA..."
    for wrong in (f"ghp_{body}{'0' * 6}", token.replace("AA", "AB", 1)):
        assert key_in(wrong) is None
    # One that is none does not hide the next.
    assert key_in(f"ghp_{body}{'0' * 6} or {token}") == "ghp_AAAAAA..."


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
def test_a_key_is_shown_by_its_first_letters_alone(key: str, said: str) -> None:
    assert key_in(f"it is {key}") == said
    assert key_in(key[:-1]) is None
    assert key_in("a text of some words") is None
