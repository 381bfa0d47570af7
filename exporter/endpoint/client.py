"""One endpoint: its address, its key, and the ways to send it a request."""

import os
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from exporter.display import visible
from exporter.endpoint.errors import NoAnswerError, has_id, translate_errors
from exporter.errors import FinetuneError
from exporter.readers import reader_at

T = TypeVar("T")

OPENAI = "https://api.openai.com/v1"

# More pages or items than any account has of files, jobs, models or events.
_MAX_PAGES = 1000
_MAX_ITEMS = 100_000

# Seconds that a server may ask to wait; the openai client has the same limit.
_MAX_RETRY_AFTER = 120


class Endpoint:
    """An endpoint and its clients, which differ in how they retry.

    Use them only in functions for `call`, `paginate` or `create_once`, which turn every
    error into a FinetuneError of one line without the key.
    """

    def __init__(self, *, timeout: float, retries: int) -> None:
        """Read address and key from the environment; send nothing.

        Raises:
            FinetuneError: Either cannot be used.
        """
        from openai import OpenAI, Timeout  # noqa: PLC0415 (half a second)

        from exporter.endpoint.exchange import (  # noqa: PLC0415 (imports httpx2)
            GuardedClient,
            parse_address,
        )

        self._key = _api_key()
        url = (os.environ.get("OPENAI_BASE_URL") or OPENAI).strip()
        host, self.name = parse_address(url)
        self.provider = reader_at(host)
        self.retries, self.timeout = retries, timeout
        # For requests that may be sent twice.
        self.retrying = OpenAI(
            api_key=self._key,
            base_url=url,
            timeout=Timeout(timeout, connect=min(timeout, 10)),
            max_retries=retries,
            http_client=GuardedClient(),
        )
        # For `create_once`.
        self.without_retries = self.retrying.with_options(max_retries=0)
        # For the cleanup while a command is being stopped.
        self.short_timeout = self.without_retries.with_options(timeout=min(timeout, 5))

    def close(self) -> None:
        """Close the connections, which the clients share."""
        self.retrying.close()

    def call(self, action: str, send: Callable[[], T]) -> T:
        """Send a request and return its answer, an object with an id.

        Raises:
            NoAnswerError: The endpoint may or may not have carried it out.
            FinetuneError: The endpoint refuses it.
        """
        with translate_errors(self, action):
            answer = send()
        if not has_id(answer):
            raise self.invalid_answer(action)
        return answer

    def paginate(self, action: str, send: Callable[[], Iterable[T]]) -> Iterator[T]:
        """Yield the items of a listing, page after page; raise as `call` does."""
        seen: set[str] = set()
        next_page: Callable[[], Any] = send
        for _ in range(_MAX_PAGES):
            with translate_errors(self, action):
                page = next_page()
            items = getattr(page, "data", None)
            # A wrong body must not pass for an empty list.
            if not isinstance(items, list) or not all(map(has_id, items)):
                raise self.invalid_answer(action)
            # Some servers return the first page for every page.
            new = [item for item in items if item.id not in seen]
            yield from new
            seen.update(item.id for item in new)
            if not new or not page.has_next_page():
                return
            if len(seen) > _MAX_ITEMS:
                break
            next_page = page.get_next_page
        raise FinetuneError(
            f"{self.name}: {action} does not end after {len(seen):,}; check "
            "OPENAI_BASE_URL, or delete what is not needed there"
        )

    def create_once(
        self,
        action: str,
        create: Callable[[], T],
        *,
        find: Callable[[], T | None],
        may_repeat: Callable[[NoAnswerError], bool],
    ) -> T:
        """Create something that must not exist twice, and return the answer.

        After a request without an answer, `find` looks for the result at the endpoint.
        The request is sent again only if nothing is found and `may_repeat` returns that
        the first request cannot succeed later. Raises as `call` does.
        """
        for attempt in range(self.retries + 1):
            try:
                return self.call(action, create)
            except NoAnswerError as error:
                failure = error
            repeat = (
                attempt < self.retries
                and failure.retry_after <= _MAX_RETRY_AFTER
                and may_repeat(failure)
            )
            if repeat:
                pauses = [failure.retry_after or _backoff(attempt)]
            elif failure.not_executed:
                pauses = [0]
            else:
                # The result may come later: look as often as it would be sent.
                pauses = [_backoff(n) for n in range(attempt, self.retries + 1)]
            for pause in pauses:
                time.sleep(pause)
                try:
                    found = find()
                except NoAnswerError:
                    raise failure from None  # `find` has retried enough.
                if found is not None:
                    return found
            if not repeat:
                break
        raise failure

    def invalid_answer(self, action: str) -> NoAnswerError:
        """Return the error for an answer that OpenAI's API would not give."""
        return NoAnswerError(
            f"{self.name}: the answer to {action} is not what OpenAI's API answers; "
            "check OPENAI_BASE_URL, most end in /v1"
        )

    def redact(self, text: object) -> str:
        """Return foreign text as one line, at most 300 characters, without the key."""
        words = str(text or "").replace(self._key, "[key]").split()
        return visible(" ".join(words)[:300]).rstrip(" .")


def _backoff(attempt: int) -> float:
    """Return the seconds to wait after an attempt, counted from zero."""
    return min(0.5 * (1 << attempt), 8)


def _api_key() -> str:
    key = os.environ.get("OPENAI_API_KEY", "")
    if not key:
        raise FinetuneError("OPENAI_API_KEY is not set; export OPENAI_API_KEY=KEY")
    for position, character in enumerate(key, 1):
        if not "!" <= character <= "~":
            what = unicodedata.name(character, "a control character").lower()
            raise FinetuneError(
                f"OPENAI_API_KEY contains {what} as character {position} of "
                f"{len(key)}, which no key does; copy it again"
            )
    return key
