"""JSON with all it says: repeated keys, numbers of any length, NaN."""

import json
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
