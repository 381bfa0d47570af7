"""Progress bars for steps that take longer than a second, on a terminal only."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from unicodedata import east_asian_width

import click

from exporter.cli.console import CLEAR_BAR, is_quiet, say
from exporter.display import visible
from exporter.progress import Step

_CLEAR = "\r\033[K"

# Seconds until a bar is drawn first, and until it is drawn again.
_DELAY = 1.0
_INTERVAL = 0.2

# Seconds until a wait is reported: on a terminal, and in a log, which nobody watches.
_WAIT_DELAY = {True: 2.0, False: 10.0}

# Seconds without progress until the bar shows how long the step has been waiting.
_STALLED = 3.0


@contextmanager
def show(work: Step) -> Iterator[None]:
    """Draw a bar of the step, or report what it waits for, until the block ends."""
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    drawn = work.total is not None
    if is_quiet() or CLEAR_BAR.get() or work.total == 0 or (drawn and not terminal):
        yield
        return
    ended = threading.Event()
    target = _draw if drawn else _report_wait
    thread = threading.Thread(target=target, args=(work, ended, terminal), daemon=True)
    clear_bar = CLEAR_BAR.set(_CLEAR if drawn else "")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        CLEAR_BAR.reset(clear_bar)


def _report_wait(work: Step, ended: threading.Event, terminal: bool) -> None:
    if not ended.wait(_WAIT_DELAY[terminal]):
        say(f"waiting for {work.name}")


def _draw(work: Step, ended: threading.Event, _: bool) -> None:
    done, total = 0, work.total or 1
    begun = moved = time.monotonic()
    if ended.wait(_DELAY):
        return
    last = False
    while True:
        now = time.monotonic()
        # A file that was closed meanwhile has no position.
        with suppress(OSError, ValueError):
            before, done = done, max(done, min(work.done(), total))
            moved = moved if done == before else now
        rate = done / (now - begun)
        notes = []
        if 0 < done < total:
            notes.append(str(timedelta(seconds=int((total - done) / rate))))
        if current := work.current():
            notes.append(f"{done}/{total} {visible(current)}")
        elif done == total:
            notes.append("finishing")
        elif now - moved >= _STALLED:
            notes.append(f"waiting {now - moved:.0f} s")
        elif work.unit == "bytes":
            notes.append(f"{rate / 1e6:,.1f} MB/s")
        else:
            notes.append(f"{rate:,.0f} {work.unit}/s")
        line = _line(visible(work.name), done / total, notes, cut=bool(current))
        click.echo(f"\r{line}\033[K", err=True, nl=False)
        if last:
            break
        last = ended.wait(_INTERVAL)
    click.echo(_CLEAR, err=True, nl=False)


def _line(name: str, share: float, notes: list[str], *, cut: bool) -> str:
    """Return a bar that fills the line of the terminal, whatever its width is now.

    Where it is narrow, the name is cut, and notes are left out or cut.
    """
    columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    columns = min(200, columns) - 1
    shortest = max(3, columns // 5 - 5)
    figures = f"{int(100 * share):3}%"
    name = _cut(name, columns - shortest - len(f" [] {figures}"))
    for note in notes:
        room = columns - shortest - _width(f"{name} [] {figures}  ")
        fitting = _cut(note, room) if cut else note
        if fitting and _width(fitting) <= room:
            figures += f"  {fitting}"
    bar = max(0, columns - _width(f"{name} [] {figures}"))
    return _cut(f"{name} [{'#' * int(share * bar):-<{bar}}] {figures}", columns)


def _cut(text: str, columns: int) -> str:
    while _width(text) > max(0, columns):
        text = text[:-1]
    return text


def _width(text: str) -> int:
    """Return how many columns a terminal needs for the text."""
    return sum(2 if east_asian_width(c) in "FW" else 1 for c in text)
