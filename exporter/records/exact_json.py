"""JSON as it stands: repeated keys, long numbers and NaN are not smoothed over."""

import json
from typing import Any


class Object(list[tuple[str, Any]]):
    """An object as its pairs, repeated keys included."""


# A whole number is its digits, however long.
_DECODER = json.JSONDecoder(
    object_pairs_hook=Object,
    parse_int=lambda digits: "0" if digits == "-0" else digits,
)


def first(text: str, start: int = 0) -> tuple[Any, int]:
    """Return the value at the start of a text, and where it ends.

    Raises:
        ValueError: There is none.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def only(text: str) -> object:
    """Return the one value of a text.

    Raises:
        ValueError: There is none, or more.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def path_to_objects(value: object, depth: int = 3) -> str:
    """Return jq's path to a list of objects below keys; "" if there is none."""
    if not isinstance(value, Object) or not depth:
        return ""
    for key, item in value:
        step = f".{key}" if key.isidentifier() and key.isascii() else f'."{key}"'
        if type(item) is list and item and isinstance(item[0], Object):
            return step
        below = path_to_objects(item, depth - 1)
        if below:
            return step + below
    return ""
