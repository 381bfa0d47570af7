"""Foreign text, made fit to be shown on a terminal."""


def visible(text: object) -> str:
    r"""Return text on one line, with what is not printable as an escape.

    Data, a server or an endpoint could steer a terminal with it, forge a line of
    ours with a newline, or turn the order of letters: ESC becomes \x1b, LF \n, a
    right-to-left override \u202e.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)
    )


def counted(number: int, thing: str) -> str:
    """Return "1 row", or "1,234 rows" of a thing with a plain plural."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
