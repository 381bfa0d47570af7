"""One endpoint: where it is, its key, and what its answers mean to a user."""

import os
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from exporter.display import visible
from exporter.errors import FinetuneError
from exporter.readers import reader_at

if TYPE_CHECKING:
    from openai import APIStatusError

T = TypeVar("T")

OPENAI = "https://api.openai.com/v1"

# Statuses by which a server says that it did not carry a request out, for now.
_NOT_NOW = {408, 409, 429, 500, 503}

_MENDS = {
    401: "put a key of this endpoint into OPENAI_API_KEY",
    403: "ask the provider for access; see docs/endpoints.md for other endpoints",
    404: "see that OPENAI_BASE_URL is right; most end in /v1",
    409: "wait until the other request is done and run it again",
    413: "send it in smaller pieces with --parts-above",
    429: "too many requests or no credit left; wait and run it again",
}


class NoAnswerError(FinetuneError):
    """A request without a usable answer: it may have been carried out.

    `not_done` is true where the server said that it was not; `wait` is how many
    seconds it asked for.
    """

    def __init__(
        self, message: str, *, not_done: bool = False, wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.not_done = not_done
        self.wait = wait


class Endpoint:
    """An endpoint and the two clients for it.

    `patient` repeats by itself what may be repeated; `once` sends once. Use both
    inside of `ask` or `listed`, so that what goes wrong is said in one line that
    does not hold the key.
    """

    def __init__(self, *, timeout: float, retries: int) -> None:
        """Take address and key from the environment; send nothing.

        Raises:
            FinetuneError: Either cannot be used.
        """
        self._key = _key()
        url, host, self.name = _address()
        self.provider = reader_at(host)
        self.retries = retries
        self._timeout = timeout
        from openai import OpenAI, Timeout  # noqa: PLC0415 (half a second)

        self.patient = OpenAI(
            api_key=self._key,
            base_url=url,
            timeout=Timeout(timeout, connect=min(timeout, 10)),
            max_retries=retries,
        )
        self.once = self.patient.with_options(max_retries=0)

    def __repr__(self) -> str:
        return f"Endpoint({self.name})"

    def close(self) -> None:
        """Close the connections, which both clients share."""
        self.patient.close()

    def ask(self, doing: str, send: Callable[[], T]) -> T:
        """Send a request and return its answer, an object with an id.

        Raises:
            NoAnswerError: It may or may not have been carried out.
            FinetuneError: The endpoint refuses it.
        """
        answer = self._answer(doing, send)
        if not _has_id(answer):
            raise self._no_sense(doing)
        return answer

    def listed(self, doing: str, send: Callable[[], Any]) -> Iterator[Any]:
        """Yield the items of a listing, page after page.

        Raises:
            FinetuneError: As `ask`.
        """
        seen: set[str] = set()
        page = self._answer(doing, send)
        while True:
            items = getattr(page, "data", None)
            # A wrong body must not pass for an empty list.
            if not isinstance(items, list) or not all(map(_has_id, items)):
                raise self._no_sense(doing)
            # Some servers give the first page whatever they are asked.
            fresh = [item for item in items if item.id not in seen]
            yield from fresh
            seen.update(item.id for item in fresh)
            if not fresh or not page.has_next_page():
                return
            page = self._answer(doing, page.get_next_page)

    def deliver(
        self,
        doing: str,
        send: Callable[[], T],
        *,
        arrived: Callable[[], T | None],
        repeat: Callable[[NoAnswerError], bool],
    ) -> T:
        """Send something that must not be there twice, and return its answer.

        After a lost answer the endpoint is asked whether it arrived; it is sent
        again only if not, and if `repeat` says that it cannot arrive later.

        Raises:
            FinetuneError: As `ask`.
        """
        attempt = 0
        while True:
            try:
                return self.ask(doing, send)
            except NoAnswerError as error:
                lost = error
            again = attempt < self.retries and repeat(lost)
            for look in range(attempt, self.retries + 1):
                if again or not lost.not_done:
                    time.sleep((again and lost.wait) or min(0.5 * 2**look, 8))
                with suppress(NoAnswerError):
                    found = arrived()
                    if found is not None:
                        return found
                if again or lost.not_done:
                    break
            if not again:
                raise lost
            attempt += 1

    def _answer(self, doing: str, send: Callable[[], T]) -> T:
        with self._explained(doing):
            return send()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn the client's exceptions into ours, which hold no request."""
        import openai  # noqa: PLC0415

        try:
            yield
        except openai.APITimeoutError:
            raise NoAnswerError(
                f"{self.name}: no answer within {self._timeout:g} s on {doing}; "
                "run it again, or with a longer --timeout"
            ) from None
        except openai.APIConnectionError as error:
            raise NoAnswerError(
                f"{self.name}: {self._cause(error)}, on {doing}; see that the address "
                "in OPENAI_BASE_URL is right and run it again"
            ) from None
        except openai.APIStatusError as error:
            raise self._status(doing, error) from None
        # The last when it is to make a page of an answer that is not JSON.
        except (openai.OpenAIError, ValueError, AttributeError):
            raise self._no_sense(doing) from None

    def _status(self, doing: str, error: "APIStatusError") -> FinetuneError:
        status = error.status_code
        body: Any = error.body
        said = body.get("message") if isinstance(body, dict) else None
        # Servers like to repeat a wrong key, or most of it.
        said = "the key is refused" if status == 401 else self.clean(said)
        mend = _MENDS.get(status, "run it again later" if status >= 500 else "")
        message = (
            f"{self.name}: {status} on {doing}"
            f"{': ' if said else ''}{said}{'; ' if mend else ''}{mend}"
        )
        if status < 500 and status not in _NOT_NOW:
            return FinetuneError(message)
        wait = error.response.headers.get("retry-after-ms")
        seconds = error.response.headers.get("retry-after")
        return NoAnswerError(
            message,
            not_done=status in _NOT_NOW,
            wait=_seconds(wait, 1000) or _seconds(seconds, 1),
        )

    def _no_sense(self, doing: str) -> NoAnswerError:
        return NoAnswerError(
            f"{self.name}: the answer to {doing} makes no sense; see that "
            "OPENAI_BASE_URL is right, most end in /v1"
        )

    def _cause(self, error: BaseException) -> str:
        """Return the words of the innermost exception."""
        while inner := error.__cause__ or error.__context__:
            error = inner
        return self.clean(getattr(error, "strerror", None) or str(error))

    def clean(self, text: object) -> str:
        """Return foreign text as one line, at most 300 characters, without the key."""
        words = str(text or "").replace(self._key, "[key]").split()
        return visible(" ".join(words)[:300]).rstrip(" .")


def _has_id(value: object) -> bool:
    """Say whether a value of an answer has an id that can be shown and named."""
    text = getattr(value, "id", None)
    return isinstance(text, str) and 0 < len(text) <= 1000 and text.isprintable()


def number(value: object) -> float:
    """Return a number of an answer, or 0 where it is none or out of all sense."""
    if isinstance(value, int | float) and 0 <= value < 1e11:
        return float(value)
    return 0.0


def _key() -> str:
    key = os.environ.get("OPENAI_API_KEY", "")
    if not key:
        raise FinetuneError("OPENAI_API_KEY is not set; put the endpoint's key there")
    for place, character in enumerate(key, 1):
        if not "!" <= character <= "~":
            what = unicodedata.name(character, "a control character").lower()
            raise FinetuneError(
                f"OPENAI_API_KEY holds {what} as character {place} of {len(key)}, "
                "which no key does; copy it again"
            )
    return key


def _address() -> tuple[str, str, str]:
    """Return the base URL, its host, and the URL as it may be shown."""
    url = (os.environ.get("OPENAI_BASE_URL") or OPENAI).strip()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if not host or parts.scheme not in ("http", "https"):
        raise FinetuneError(
            "OPENAI_BASE_URL is no address such as https://api.openai.com/v1; "
            "mend or unset it"
        )
    shown = f"[{host}]" if ":" in host else host
    where = f"{shown}:{port}" if port else shown
    return url, host, f"{parts.scheme}://{where}{parts.path.rstrip('/')}"


def _seconds(value: str | None, divisor: int) -> float | None:
    """Return a header's number of seconds, at most two minutes."""
    try:
        return min(number(float(value or "")) / divisor, 120)
    except ValueError:
        return None
