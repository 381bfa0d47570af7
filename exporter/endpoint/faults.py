"""Errors of a request as one line that shows neither the request nor the key."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import openai

from exporter.endpoint.client import Endpoint, NoAnswerError, number
from exporter.endpoint.exchange import (
    ANSWER_MEGABYTES,
    ANSWER_VALUES,
    TooLargeError,
    origin,
)
from exporter.errors import FinetuneError

# Statuses by which a server says that it did not carry a request out, for now.
_NOT_NOW = {408, 409, 429, 500, 503}

_REMEDIES = {
    401: "set OPENAI_API_KEY to a key of this endpoint",
    403: "ask the provider for access; see docs/endpoints.md for other endpoints",
    404: "check OPENAI_BASE_URL; most end in /v1",
    409: "wait until the other request is done and run it again",
    413: "send it in smaller pieces with --parts-above",
    429: "too many requests or no credit left; wait and run it again",
}

# What the client raises for JSON that is invalid, too deep or of another form.
_NO_SENSE = (
    openai.OpenAIError,
    ValueError,
    AttributeError,
    TypeError,
    KeyError,
    RecursionError,
)


@contextmanager
def explained(endpoint: Endpoint, doing: str) -> Iterator[None]:
    """Turn the client's exceptions into ours."""
    name = endpoint.name
    try:
        yield
    except openai.APITimeoutError:
        raise NoAnswerError(
            f"{name}: no answer within {endpoint.timeout:g} s on {doing}; "
            "run it again, or with a longer --timeout"
        ) from None
    except openai.APIConnectionError as error:
        cause = endpoint.clean(_cause(error))
        raise NoAnswerError(
            f"{name}: {cause}, on {doing}; {_connection_remedy(endpoint, cause)}"
        ) from None
    except openai.APIStatusError as error:
        raise _refusal(endpoint, doing, error) from None
    except TooLargeError:
        raise NoAnswerError(
            f"{name}: the answer to {doing} is larger than {ANSWER_MEGABYTES} MB or "
            f"{ANSWER_VALUES:,} values; check OPENAI_BASE_URL"
        ) from None
    except _NO_SENSE:
        raise endpoint.no_sense(doing) from None


def _refusal(
    endpoint: Endpoint, doing: str, error: openai.APIStatusError
) -> FinetuneError:
    status, headers = error.status_code, error.response.headers
    if further := error.response.next_request:
        return FinetuneError(
            f"{endpoint.name}: {status} on {doing}: redirects to "
            f"{endpoint.clean(origin(further.url))}, where nothing was sent; put the "
            "right address into OPENAI_BASE_URL"
        )
    body: Any = error.body
    said = body.get("message") if isinstance(body, dict) else None
    # Servers like to repeat a wrong key, or most of it.
    said = "the key is refused" if status == 401 else endpoint.clean(said)
    remedy = _REMEDIES.get(status, "run it again later" if status >= 500 else "")
    message = (
        f"{endpoint.name}: {status} on {doing}"
        f"{': ' if said else ''}{said}{'; ' if remedy else ''}{remedy}"
    )
    if status < 500 and status not in _NOT_NOW:
        return FinetuneError(message)
    lost = NoAnswerError(message)
    lost.not_done = status in _NOT_NOW
    lost.wait = _seconds(headers.get("retry-after-ms")) / 1000
    lost.wait = lost.wait or _seconds(headers.get("retry-after"))
    return lost


def _connection_remedy(endpoint: Endpoint, cause: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        if "valid for" in cause:
            return "put the name in the certificate into OPENAI_BASE_URL"
        if "expired" in cause or "not yet valid" in cause:
            return "check the clock; else the endpoint must renew its certificate"
        return (
            "set SSL_CERT_FILE to the certificate of the authority that signed the "
            "endpoint's"
        )
    parts = urlsplit(endpoint.name)
    proxies = getproxies().keys() & {parts.scheme, "all"}
    if proxies and not proxy_bypass(parts.netloc):
        variables = " and ".join(f"{name.upper()}_PROXY" for name in sorted(proxies))
        return f"check the proxy in {variables}, and OPENAI_BASE_URL"
    return "check the address in OPENAI_BASE_URL and run it again"


def _cause(error: BaseException) -> str:
    """Return the words of the innermost exception."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or str(error)


def _seconds(value: str | None) -> float:
    """Return how long a header asks to wait, in seconds or until a date, or zero."""
    with suppress(ValueError):
        return number(float(value or 0))
    with suppress(ValueError, OverflowError):
        return number(parsedate_to_datetime(value or "").timestamp() - time.time())
    return 0
