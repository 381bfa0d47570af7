"""Numbers of payment cards and bank accounts, known by their check digits."""

import re

from exporter.checking.tables import table

_CARD = re.compile(
    r"(?<![0-9A-Za-z.,/_-])(?:[2-6][0-9]{14,15}"
    r"|[2-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}"
    r"|3[47][0-9]{2}([ -])[0-9]{6}\2[0-9]{5}|3[0689][0-9]{2}([ -])[0-9]{6}\3[0-9]{4})"
    r"(?![0-9A-Za-z/_-]|[.,][0-9])"
)
_ISSUERS = {n: re.compile(start) for n, start in table("harms")["card_issuers"].items()}

_IBAN = re.compile(
    r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,4})?"
    r"(?![0-9A-Za-z])"
)
_LENGTHS = {
    code: length
    for length, codes in table("harms")["iban_lengths"].items()
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
