"""The errors of a request, as one line that shows neither the request nor the key."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from exporter.endpoint.exchange import (
    ANSWER_MEGABYTES,
    ANSWER_VALUES,
    TooLargeError,
    origin,
)
from exporter.errors import FinetuneError

if TYPE_CHECKING:
    import openai

    from exporter.endpoint.client import Endpoint

# Statuses of a request that the server did not carry out, but may later.
_TRANSIENT = {408, 409, 429, 500, 503}

_REMEDIES = {
    401: "set OPENAI_API_KEY to a key of this endpoint",
    402: "add credit at the provider and run it again",
    403: "ask the provider for access; see docs/endpoints.md for other endpoints",
    404: "check the name or id, and OPENAI_BASE_URL, which mostly ends in /v1",
    408: "run it again, or with a longer --timeout",
    409: "wait until the other request is done and run it again",
    413: "send it in smaller pieces with --parts-above",
    429: "too many requests or no credit left; wait and run it again",
}

_MAX_ID_CHARACTERS = 256


class NoAnswerError(FinetuneError):
    """A request without a usable answer: the endpoint may have carried it out.

    `not_executed` is true if the endpoint said that it did not; `retry_after` is how
    many seconds it asked to wait, or zero.
    """

    not_executed = False
    retry_after = 0.0


@contextmanager
def translate_errors(endpoint: "Endpoint", action: str) -> Iterator[None]:
    """Turn the exceptions of the openai client into a FinetuneError.

    Raises:
        NoAnswerError: The endpoint may or may not have carried the request out.
        FinetuneError: It refused the request.
    """
    import openai  # noqa: PLC0415 (half a second)

    name = endpoint.name
    try:
        yield
    except openai.APITimeoutError:
        raise NoAnswerError(
            f"{name}: no answer within {endpoint.timeout:g} s on {action}; "
            "run it again, or with a longer --timeout"
        ) from None
    except openai.APIConnectionError as error:
        cause = endpoint.redact(_cause(error))
        raise NoAnswerError(
            f"{name}: {cause}, on {action}; {_connection_remedy(endpoint, cause)}"
        ) from None
    except openai.APIStatusError as error:
        raise _refusal(endpoint, action, error) from None
    except TooLargeError:
        raise NoAnswerError(
            f"{name}: the answer to {action} is larger than {ANSWER_MEGABYTES} MB or "
            f"{ANSWER_VALUES:,} values; check OPENAI_BASE_URL"
        ) from None
    except (
        openai.OpenAIError,
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ):
        # JSON that is invalid, nested too deeply or not what the client expects.
        raise endpoint.invalid_answer(action) from None


def _refusal(
    endpoint: "Endpoint", action: str, error: "openai.APIStatusError"
) -> FinetuneError:
    """Return the error for a status that is not a success."""
    status, headers = error.status_code, error.response.headers
    if further := error.response.next_request:
        return FinetuneError(
            f"{endpoint.name}: {status} on {action}: redirects to "
            f"{endpoint.redact(origin(further.url))}, where nothing was sent; put the "
            "right address into OPENAI_BASE_URL"
        )
    body: Any = error.body
    reason = body.get("message") if isinstance(body, dict) else None
    # Servers often repeat a wrong key, or most of it.
    reason = "the key is refused" if status == 401 else endpoint.redact(reason)
    remedy = _REMEDIES.get(status, "run it again later" if status >= 500 else "")
    message = (
        f"{endpoint.name}: {status} on {action}"
        f"{': ' if reason else ''}{reason}{'; ' if remedy else ''}{remedy}"
    )
    if status < 500 and status not in _TRANSIENT:
        return FinetuneError(message)
    failure = NoAnswerError(message)
    failure.not_executed = status in _TRANSIENT
    failure.retry_after = _seconds(headers.get("retry-after-ms")) / 1000 or _seconds(
        headers.get("retry-after")
    )
    return failure


def _connection_remedy(endpoint: "Endpoint", cause: str) -> str:
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
    """Return the message of the innermost exception."""
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


def has_id(value: object) -> bool:
    """Return whether a value of an answer has an id that can be printed."""
    text = getattr(value, "id", None)
    return (
        isinstance(text, str)
        and 0 < len(text) <= _MAX_ID_CHARACTERS
        and text.isprintable()
    )


def status_of(answer: object) -> str:
    """Return the status of a job or file in small letters, or "" if it has none."""
    status = getattr(answer, "status", None)
    return status.lower() if isinstance(status, str) else ""


def number(value: object) -> float:
    """Return a number of an answer, or 0 if it is not one or out of range."""
    if isinstance(value, int | float) and 0 <= value < 1e11:
        return float(value)
    return 0.0
