"""Bars for what takes longer than a second, on a terminal; elsewhere none."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from exporter.cli.console import CLEAR_BAR, is_quiet, say
from exporter.display import visible
from exporter.progress import Step

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_CLEAR = "\r\033[K"
_SHOW_CURSOR = "\033[?25h"

# A bar comes after so many seconds, and is drawn again after so many.
_PATIENCE = 1.0
_EVERY = 0.2

# After so many seconds without an end it is said what is waited for; in a log later,
# because nobody looks.
_WAITS = {True: 2.0, False: 10.0}

# A step that does not advance for so many seconds is said to wait.
_STALLED = 3.0


@contextmanager
def show(work: Step) -> Iterator[None]:
    """Draw a step on the terminal, or say what is waited for, until it ends."""
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if (
        is_quiet()
        or CLEAR_BAR.get()
        or work.total == 0
        or (work.total and not terminal)
    ):
        yield
        return
    ended = threading.Event()
    draw = _say_once if work.total is None else _draw
    thread = threading.Thread(target=draw, args=(work, ended, terminal), daemon=True)
    cleared = CLEAR_BAR.set(_CLEAR if work.total is not None else "")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        CLEAR_BAR.reset(cleared)


def _say_once(work: Step, ended: threading.Event, terminal: bool) -> None:
    if not ended.wait(_WAITS[terminal]):
        say(f"waiting for {work.name}")


def _draw(work: Step, ended: threading.Event, _: bool) -> None:
    begun = time.monotonic()
    if ended.wait(_PATIENCE):
        return
    bar = click.progressbar(
        length=work.total,
        file=sys.stderr,
        bar_template="%(label)s [%(bar)s] %(info)s\033[K",
        item_show_func=lambda text: text or None,
    )
    bar.start -= _PATIENCE
    bar.last_eta = bar.start
    moved = begun
    at_its_end = False
    while True:
        now = time.monotonic()
        done = bar.pos
        # A file that was closed meanwhile has no place.
        with suppress(OSError, ValueError):
            done = max(done, work.done())
        moved = now if done > bar.pos else moved
        current = work.current()
        bar.make_step(done - bar.pos)
        if current:
            bar.current_item = f"{done}/{work.total} {visible(current)}"
        elif bar.finished:
            bar.current_item = "finishing"
        elif now - moved >= _STALLED:
            bar.current_item = f"waiting {now - moved:.0f} s"
        else:
            bar.current_item = _rate(work, done / (now - begun))
        _fit(bar, work.name, cut=bool(current))
        bar.render_progress()
        if at_its_end:
            break
        at_its_end = ended.wait(_EVERY)
    click.echo(_CLEAR + _SHOW_CURSOR, err=True, nl=False)


def _rate(work: Step, rate: float) -> str:
    if work.unit == "bytes":
        return f"{rate / 1e6:,.1f} MB/s"
    return f"{rate:,.0f} {work.unit}/s"


def _fit(bar: "ProgressBar[str | None]", name: str, *, cut: bool) -> None:
    """Fill the terminal, whatever its width is now, and never wrap.

    Where it is narrow, the item gives way first: a name is cut, a rate goes.
    """
    wide = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    columns = max(40, min(200, wide)) - 1
    bar.max_width = None
    bar.label, bar.width = visible(name), 0
    room = columns - max(3, columns // 5 - 5)
    item = bar.current_item or ""
    over = _length(bar) - room
    if over > 0:
        bar.current_item = item[: max(0, len(item) - over)].rstrip() if cut else None
    over = _length(bar) - room
    if over > 0:
        bar.label = bar.label[: max(4, len(bar.label) - over)]
    bar.width = max(0, columns - _length(bar))


def _length(bar: "ProgressBar[str | None]") -> int:
    return len(click.unstyle(bar.format_progress_line()))
