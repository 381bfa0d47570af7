"""Keys that somebody has left in a text, known by prefix and checksum."""

import re
import zlib

from exporter.checking.tables import any_of

KEY = re.compile(
    rf"(^|[^A-Za-z0-9_-])({any_of('key')})"
    r"|-----BEGIN ([A-Z]+ )?PRIVATE KEY( BLOCK)?-----"
)
# Every key holds so long a word, which is found much faster.
_MAY_BE_KEY = re.compile(r"[A-Za-z0-9+/_-]{13}|-----BEGIN")
_WITH_CHECKSUM = ("gho_", "ghp_", "ghu_", "ghs_", "ghr_", "npm_")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def key_in(text: str) -> str | None:
    """Return the first letters of a key in the text, if there is one."""
    if not _MAY_BE_KEY.search(text):
        return None
    for found in KEY.finditer(text):
        key: str = found[2] or found[0]
        if not key.startswith(_WITH_CHECKSUM) or _holds_checksum(key):
            return f"{key[:10]}..."
    return None


def _holds_checksum(key: str) -> bool:
    """Say whether the last six characters are the CRC-32 of those before.

    So GitHub and npm make tokens (GitHub's engineering blog, 2021-04-05).
    """
    _, _, body = key.partition("_")
    code, digits = zlib.crc32(body[:-6].encode()), ""
    for _ in range(6):
        code, digit = divmod(code, 62)
        digits = _DIGITS[digit] + digits
    return digits == body[-6:]
