"""Find card numbers, bank accounts and API keys, by their form and check digits."""

import re
import zlib

from exporter.checking.tables import any_of, table

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

KEY = re.compile(
    rf"(^|[^A-Za-z0-9_-])({any_of('key')})"
    r"|-----BEGIN ([A-Z]+ )?PRIVATE KEY( BLOCK)?-----"
)
# Every key contains a word of this length, which is found much faster.
_MAY_BE_KEY = re.compile(r"[A-Za-z0-9+/_-]{13}|-----BEGIN")
_WITH_CHECKSUM = ("gho_", "ghp_", "ghu_", "ghs_", "ghr_", "npm_")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def contains_card(text: str) -> bool:
    """Return whether a text contains the number of a payment card."""
    for found in _CARD.finditer(text):
        digits = re.sub("[ -]", "", found[0])
        issuer = _ISSUERS.get(len(digits))
        if issuer and issuer.match(digits) and _luhn(digits):
            return True
    return False


def _luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def contains_iban(text: str) -> bool:
    """Return whether a text contains an IBAN of the right length for its country."""
    for found in _IBAN.finditer(text):
        number = found[0].replace(" ", "")
        length = _LENGTHS.get(number[:2])
        if length and len(number) >= length:
            # A word in capitals may follow, which is not part of the number.
            number = number[:length]
            rotated = "".join(str(int(c, 36)) for c in number[4:] + number[:4])
            if int(rotated) % 97 == 1:
                return True
    return False


def find_key(text: str) -> str | None:
    """Return the first characters of a key in the text, if there is one."""
    if not _MAY_BE_KEY.search(text):
        return None
    for found in KEY.finditer(text):
        key: str = found[2] or found[0]
        if not key.startswith(_WITH_CHECKSUM) or _has_checksum(key):
            return f"{key[:10]}..."
    return None


def _has_checksum(key: str) -> bool:
    """Return whether the last six characters are the CRC-32 of those before.

    GitHub and npm make tokens like this (GitHub's engineering blog, 2021-04-05).
    """
    _, _, body = key.partition("_")
    code, digits = zlib.crc32(body[:-6].encode()), ""
    for _ in range(6):
        code, digit = divmod(code, 62)
        digits = _DIGITS[digit] + digits
    return digits == body[-6:]
