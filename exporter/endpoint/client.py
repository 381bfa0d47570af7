"""One endpoint: where it is, its key, and what its answers mean to a user."""

import os
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, ParamSpec, TypeVar

from exporter.display import visible
from exporter.errors import FinetuneError
from exporter.readers import reader_at

P = ParamSpec("P")
T = TypeVar("T")

OPENAI = "https://api.openai.com/v1"

# More pages or items than any account has of files, jobs, models or events.
_PAGES = 1000
_ITEMS = 100_000

_ID_CHARACTERS = 256

# Seconds that a server may ask to wait, as the openai client has it.
_LONGEST_WAIT = 120


class NoAnswerError(FinetuneError):
    """A request without a usable answer: it may have been carried out.

    `not_done` is true where the server said that it was not; `wait` is how many
    seconds it asked for, or zero.
    """

    not_done = False
    wait = 0.0


class Endpoint:
    """An endpoint and the two clients for it.

    `patient` repeats by itself what may be repeated; `once` sends once. Use both
    inside of `ask`, `listed` or `deliver`, which turn each error into one line
    without the key.
    """

    def __init__(self, *, timeout: float, retries: int) -> None:
        """Take address and key from the environment; send nothing.

        Raises:
            FinetuneError: Either cannot be used.
        """
        from openai import OpenAI, Timeout  # noqa: PLC0415 (half a second)

        from exporter.endpoint.exchange import GuardedClient, place  # noqa: PLC0415
        from exporter.endpoint.faults import explained  # noqa: PLC0415

        self._key = _key()
        url = (os.environ.get("OPENAI_BASE_URL") or OPENAI).strip()
        host, self.name = place(url)
        self.provider = reader_at(host)
        self.retries, self.timeout = retries, timeout
        self._explained = partial(explained, self)
        self.patient = OpenAI(
            api_key=self._key,
            base_url=url,
            timeout=Timeout(timeout, connect=min(timeout, 10)),
            max_retries=retries,
            http_client=GuardedClient(),
        )
        self.once = self.patient.with_options(max_retries=0)
        # For what is put in order while a command is being stopped.
        self.hasty = self.once.with_options(timeout=min(timeout, 5))

    def __repr__(self) -> str:
        return f"Endpoint({self.name})"

    def close(self) -> None:
        """Close the connections, which both clients share."""
        self.patient.close()

    def ask(
        self, doing: str, send: Callable[P, T], *args: P.args, **options: P.kwargs
    ) -> T:
        """Send a request and return its answer, an object with an id.

        Raises:
            NoAnswerError: It may or may not have been carried out.
            FinetuneError: The endpoint refuses it.
        """
        with self._explained(doing):
            answer = send(*args, **options)
        if not _has_id(answer):
            raise self.no_sense(doing)
        return answer

    def listed(
        self,
        doing: str,
        send: Callable[P, Iterable[T]],
        *args: P.args,
        **options: P.kwargs,
    ) -> Iterator[T]:
        """Yield the items of a listing, page after page; raise as `ask` does."""
        seen: set[str] = set()
        ask: Callable[[], Any] = partial(send, *args, **options)
        for _ in range(_PAGES):
            with self._explained(doing):
                page = ask()
            items = getattr(page, "data", None)
            # A wrong body must not pass for an empty list.
            if not isinstance(items, list) or not all(map(_has_id, items)):
                raise self.no_sense(doing)
            # Some servers give the first page whatever they are asked.
            fresh = [item for item in items if item.id not in seen]
            yield from fresh
            seen.update(item.id for item in fresh)
            if not fresh or not page.has_next_page():
                return
            if len(seen) > _ITEMS:
                break
            ask = page.get_next_page
        raise FinetuneError(
            f"{self.name}: {doing} does not end after {len(seen):,}; check "
            "OPENAI_BASE_URL, or delete what is not needed there"
        )

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
        again only if not, and if `repeat` says that it cannot arrive later. Raises as
        `ask` does.
        """
        for attempt in range(self.retries + 1):
            try:
                return self.ask(doing, send)
            except NoAnswerError as error:
                lost = error
            again = (
                attempt < self.retries and lost.wait <= _LONGEST_WAIT and repeat(lost)
            )
            # What may still arrive is looked for as often as it would be sent.
            last = attempt if again or lost.not_done else self.retries
            for look in range(attempt, last + 1):
                if again or not lost.not_done:
                    time.sleep((again and lost.wait) or min(0.5 * 2**look, 8))
                try:
                    found = arrived()
                except NoAnswerError:
                    raise lost from None  # It was asked for often enough.
                if found is not None:
                    return found
            if not again:
                break
        raise lost

    def no_sense(self, doing: str) -> NoAnswerError:
        """Return the error that an answer has not the form of its route."""
        return NoAnswerError(
            f"{self.name}: the answer to {doing} is not what OpenAI's API answers; "
            "check OPENAI_BASE_URL, most end in /v1"
        )

    def clean(self, text: object) -> str:
        """Return foreign text as one line, at most 300 characters, without the key."""
        words = str(text or "").replace(self._key, "[key]").split()
        return visible(" ".join(words)[:300]).rstrip(" .")


def _has_id(value: object) -> bool:
    """Return whether a value of an answer has an id that can be shown and named."""
    text = getattr(value, "id", None)
    return (
        isinstance(text, str) and 0 < len(text) <= _ID_CHARACTERS and text.isprintable()
    )


def number(value: object) -> float:
    """Return a number of an answer, or 0 if it is none or out of range."""
    if isinstance(value, int | float) and 0 <= value < 1e11:
        return float(value)
    return 0.0


def _key() -> str:
    key = os.environ.get("OPENAI_API_KEY", "")
    if not key:
        raise FinetuneError("OPENAI_API_KEY is not set; export OPENAI_API_KEY=KEY")
    for place, character in enumerate(key, 1):
        if not "!" <= character <= "~":
            what = unicodedata.name(character, "a control character").lower()
            raise FinetuneError(
                f"OPENAI_API_KEY holds {what} as character {place} of {len(key)}, "
                "which no key does; copy it again"
            )
    return key
