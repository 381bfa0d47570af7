"""Numbers of payment cards and bank accounts, known by their check digits."""

import re

_CARD = re.compile(
    r"(?<![0-9A-Za-z.,/_-])(?:[2-6][0-9]{14,15}"
    r"|[2-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}"
    r"|3[47][0-9]{2}([ -])[0-9]{6}\2[0-9]{5}|3[0689][0-9]{2}([ -])[0-9]{6}\3[0-9]{4})"
    r"(?![0-9A-Za-z/_-]|[.,][0-9])"
)
# Who issues cards, by length and first digits (ISO/IEC 7812, Wikipedia's list of
# issuers, 2026-11-25). Visa's old 13 digits look like article numbers.
_ISSUERS = {
    14: re.compile(r"30[0-5]|36|3[89]"),
    15: re.compile(r"3[47]"),
    16: re.compile(
        r"4|5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|6011|65|64[4-9]|62|35(2[89]|[3-8])"
    ),
}

_IBAN = re.compile(
    r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,4})?"
    r"(?![0-9A-Za-z])"
)
# How long an IBAN is in a country (SWIFT's registry of IBANs, 2026-11-25).
_LENGTHS = {
    code: int(length)
    for length, codes in {
        "15": "NO",
        "16": "BE",
        "18": "DK FI FO GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI FR GR IT MC MR SM DJ",
        "28": "AL AZ BY CY DO GT HU LB PL SV NI",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for code in codes.split()
}


def holds_card(text: str) -> bool:
    """Say whether a text holds the number of a payment card."""
    for found in _CARD.finditer(text):
        digits = re.sub("[ -]", "", found[0])
        issuer = _ISSUERS.get(len(digits))
        if issuer and issuer.match(digits) and _luhn(digits):
            return True
    return False


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def holds_iban(text: str) -> bool:
    """Say whether a text holds an IBAN, by the length of its country too."""
    for found in _IBAN.finditer(text):
        number = found[0].replace(" ", "")
        length = _LENGTHS.get(number[:2])
        if length and len(number) >= length:
            # A word in capitals may follow; the check digits say where to stop.
            number = number[:length]
            turned = "".join(str(int(c, 36)) for c in number[4:] + number[:4])
            if int(turned) % 97 == 1:
                return True
    return False
