"""What an answer of an endpoint may be: an object with an id, a number, or nothing."""

from exporter.errors import FinetuneError

_MAX_ID_CHARACTERS = 256


class NoAnswerError(FinetuneError):
    """A request without a usable answer: the endpoint may have carried it out.

    `not_executed` is true if the endpoint said that it did not; `retry_after` is how
    many seconds it asked to wait, or zero.
    """

    not_executed = False
    retry_after = 0.0


def has_id(value: object) -> bool:
    """Return whether a value of an answer has an id that can be printed."""
    text = getattr(value, "id", None)
    return (
        isinstance(text, str)
        and 0 < len(text) <= _MAX_ID_CHARACTERS
        and text.isprintable()
    )


def number(value: object) -> float:
    """Return a number of an answer, or 0 if it is not one or out of range."""
    if isinstance(value, int | float) and 0 <= value < 1e11:
        return float(value)
    return 0.0
