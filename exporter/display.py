"""Text from data, servers and endpoints, made safe to print on a terminal."""

import json
from collections.abc import Mapping


def visible(text: object) -> str:
    r"""Return text on one line, with every nonprintable character as an escape.

    Printed raw, such characters could control the terminal, add a false line of
    output, or reverse the order of letters: ESC becomes \x1b, LF \n, a
    right-to-left override \u202e.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)
    )


def visible_json(text: bytes) -> str:
    """Return JSON of the same value, with every nonprintable character as an escape.

    JSON itself leaves C1 controls and bidirectional overrides as they are.
    """
    shown = text.decode()
    if shown.isprintable():
        return shown
    return "".join(
        c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in shown
    )


def counted(number: int, thing: str) -> str:
    """Return "1 row", or "1,234 rows" of a thing with a plain plural."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def row_preview(row: Mapping[str, object]) -> str:
    """Return a row on one line, each value cut to 60 characters."""
    # Cut before escaping: the escaped text takes many times the memory.
    cut = {n: v[:60] if isinstance(v, str) else v for n, v in row.items()}
    cells = (visible(f"{name}={value!r}") for name, value in cut.items())
    return ", ".join(c if len(c) <= 60 else f"{c[:57]}..." for c in cells)
