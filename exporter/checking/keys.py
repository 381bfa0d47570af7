"""Keys that somebody has left in a text, known by prefix and checksum."""

import re
import zlib

# Keys with a prefix of their own (the providers' documents, 2026-11-25).
KEY = re.compile(
    r"(^|[^A-Za-z0-9_-])("
    r"(AKIA|ASIA)[A-Z2-7]{16}($|[^A-Za-z0-9])|AIza[A-Za-z0-9_-]{35}"
    r"|GOCSPX-[A-Za-z0-9_-]{28}|ya29[.][A-Za-z0-9_-]{50}"
    r"|(gh[opusr]|npm)_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"
    r"|((sk|rk)_live|gsk|r8|ntn|lin_api|whsec)_[A-Za-z0-9+/]{16}|hf_[A-Za-z]{34}"
    r"|(xai|pplx)-[A-Za-z0-9]{48}|(nvapi|glpat|sq0[a-z]{3})-[A-Za-z0-9_-]{20}"
    r"|(figd|dckr_pat)_[A-Za-z0-9_-]{27}|hvs[.][A-Za-z0-9_-]{24}|pypi-AgEI[A-Za-z0-9_-]{20}"
    r"|sk-(proj|svcacct|admin|or-v1|ant-[a-z0-9]{3,8})-[A-Za-z0-9_-]{20}"
    r"|sk-[A-Za-z0-9]{32}|xox[abeoprs]-[0-9A-Za-z-]{20}|xapp-[0-9]-[A-Z0-9]{9}"
    r"|hooks[.]slack[.]com/services/T[A-Za-z0-9]{8}|[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"
    r"|SG[.][A-Za-z0-9_-]{22}[.][A-Za-z0-9_-]{43}|key-[0-9a-f]{32}"
    r"|shp(at|ca|pa|ss)_[0-9a-fA-F]{32}|dop_v1_[0-9a-f]{64}"
    r"|eyJ[A-Za-z0-9_-]{10,200}[.]eyJ[A-Za-z0-9_-]{10}"
    r")|-----BEGIN ([A-Z]+ )?PRIVATE KEY( BLOCK)?-----"
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
