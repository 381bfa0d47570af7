"""JSON with all it says: repeated keys, numbers of any length, NaN."""

import json
from collections.abc import Iterator
from typing import Any


class Object(list[tuple[str, Any]]):
    """A JSON object as key-value pairs, repeated keys included."""


class _Decoder(json.JSONDecoder):
    """A decoder whose every error is a ValueError."""

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        """Return the value at an index, and where it ends; more text may follow."""
        try:
            return super().raw_decode(s, idx)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


# A whole number is its digits, however long.
_DECODER = _Decoder(
    object_pairs_hook=Object, parse_int=lambda digits: "0" if digits == "-0" else digits
)
decode, raw_decode = _DECODER.decode, _DECODER.raw_decode


def objects_in(
    value: object, path: str = "", depth: int = 9
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object in a value, and jq's path to it; the outer ones come first.

    Of a list, only the first element is looked at.
    """
    if isinstance(value, Object):
        yield path, dict(value)
        for key, item in value if depth else []:
            simple = key.isidentifier() and key.isascii()
            step = f".{key}" if simple else f".{json.dumps(key, ensure_ascii=False)}"
            yield from objects_in(item, path + step, depth - 1)
    elif isinstance(value, list) and value and depth:
        yield from objects_in(value[0], f"{path}[]", depth - 1)
