"""A long step draws a bar that moves and fits the terminal; in a pipe it draws none."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import pytest

from tests.workspace import DBT, MakeWorkspace, Workspace

# The command line with a bar that is drawn at once, so that no test waits for it.
HASTY = (
    "from exporter.cli import main, progress;"
    "progress._DELAY, progress._INTERVAL = 0.0, 0.01; main()"
)
BAR = re.compile(r"(\w[\w. ]*) \[#*-*\] +(\d+)%")
ROWS = 60_000

# Each of its characters takes two columns of a terminal.
WIDE = "商品説明の一覧表を公開.jsonl"

PROJECT = {
    "dbt_project.yml": "name: shop\nprofile: finetune\n",
    "models/answers.sql": f"""
select n as id, 'Question ' || n as question, 'Answer ' || n as answer
from generate_series(1, {ROWS}) as n
""",
    "models/shop.yml": """
models:
  - name: answers
    columns:
      - {name: id, data_tests: [unique, not_null]}
      - {name: question, data_tests: [unique, not_null]}
exposures:
  - name: support
    type: ml
    owner: {name: Support, email: support@example.com}
    depends_on: [ref('answers')]
    config:
      meta: {finetune: {examples: answers, id: id, user: question, assistant: answer}}
""",
}


@pytest.fixture(scope="module")
def shop(make_workspace: MakeWorkspace) -> Workspace:
    """Return a project whose steps take a fraction of a second each."""
    workspace = make_workspace()
    workspace.project = workspace.folder / "shop"
    for name, text in PROJECT.items():
        (workspace.project / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.project / name).write_text(text.lstrip("\n"))
    with (workspace.folder / "rows.csv").open("w") as file:
        file.write("uid,title,content\n")
        file.writelines(f"{n},lamp {n},A lamp of {n} watts\n" for n in range(5 * ROWS))
    built = workspace.run([DBT, "build", "--project-dir", "shop"])
    assert built.returncode == 0, built.stdout
    assert workspace.finetune("export", "--project-dir", "shop").returncode == 0
    (workspace.folder / WIDE).symlink_to("files/train.jsonl")
    return workspace


@contextmanager
def on_terminal(
    workspace: Workspace, command: Sequence[str | Path], columns: int
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a command with stderr on a terminal of that width; yield its other end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        command,
        cwd=workspace.folder,
        env=workspace.environment | {"TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(1 + (unicodedata.east_asian_width(c) in "FW") for c in text)


def shown_until_the_end(ours: int) -> str:
    shown = b""
    with suppress(OSError):  # The terminal's other end is closed.
        while piece := os.read(ours, 1 << 16):
            shown += piece
    return shown.decode()


LOAD = ["rows.csv", "--replace", "--table=lamps", "--id=uid", "--title=title"]
COMMANDS = {
    "load": (["load", *LOAD, "--content=content"], {"loading"}),
    "export": (["export", "--project-dir", "shop"], {"gate", "writing"}),
    "check": (["check"], {"checking"}),
    "check a wide name": (["check", WIDE], {"checking"}),
    "diff": (["diff", "files", "files"], {"comparing"}),
    "report": (["report"], {"checking"}),
}


# A terminal may report no width: 80 columns are assumed.
@pytest.mark.parametrize(
    ("name", "columns"), [*product(COMMANDS, (40, 200)), ("check", 0)]
)
def test_a_long_step_moves_a_bar_that_fits_the_terminal(
    name: str, columns: int, shop: Workspace
) -> None:
    arguments, steps = COMMANDS[name]
    command = [sys.executable, "-c", HASTY, *arguments]
    with on_terminal(shop, command, columns) as (process, ours):
        shown = shown_until_the_end(ours)
        assert process.wait() == 0, shown
    moved: dict[str, list[int]] = {}
    for frame in shown.split("\r"):
        text = re.sub(r"\x1b\[\??\d*[a-zA-Z]", "", frame)
        for what, share in BAR.findall(text):
            moved.setdefault(what, []).append(int(share))
            assert 30 < width(text) < (columns or 80)
    assert steps <= {what.split()[0] for what in moved}
    for what in (what for what in moved if what.split()[0] in steps):
        shares = moved[what]
        assert shares == sorted(shares)
        assert len({*shares}) > 1, f"the bar of {what} did not move"
    # Nothing of a bar is left, and the cursor was never hidden.
    assert "]" not in shown.rpartition("\r\x1b[K")[2]
    assert "\x1b[?25l" not in shown


@pytest.mark.parametrize("columns", [5, 20])
def test_a_bar_on_a_narrow_terminal_is_cut_to_one_line(
    columns: int, shop: Workspace
) -> None:
    arguments, _ = COMMANDS["check"]
    command = [sys.executable, "-c", HASTY, *arguments]
    with on_terminal(shop, command, columns) as (process, ours):
        shown = shown_until_the_end(ours)
        assert process.wait() == 0, shown
    bars = re.findall(r"\r([^\r\n]+)\x1b\[K", shown)
    assert bars
    assert [bar for bar in bars if width(bar) >= columns] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_there_is_no_bar_in_a_pipe(name: str, shop: Workspace) -> None:
    done = shop.run([sys.executable, "-c", HASTY, *COMMANDS[name][0]])
    assert done.returncode == 0
    patient = HASTY.replace("0.0, 0.01", "99, 99")
    same = shop.run([sys.executable, "-c", patient, *COMMANDS[name][0]])
    assert done.stderr == same.stderr


def test_what_ends_within_a_second_draws_no_bar(built_sample: Workspace) -> None:
    example = '{"messages":[{"role":"user","content":"a"},{"role":"assistant"}]}\n'
    (built_sample.folder / "one.jsonl").write_text(example)
    command = [sys.executable, "-m", "exporter", "check", "one.jsonl"]
    with on_terminal(built_sample, command, 80) as (process, ours):
        assert "checking" not in shown_until_the_end(ours)
        assert process.wait() == 1


def test_a_command_reports_that_it_waits_for_a_lock(shop: Workspace) -> None:
    command = [sys.executable, "-m", "exporter", "export", "--project-dir", "shop"]
    with shop.connect() as connection:
        connection.autocommit = False
        connection.execute("lock table finetune.answers in access exclusive mode")
        with on_terminal(shop, command, 80) as (process, ours):
            message = os.read(ours, 1 << 16).decode()
            assert process.poll() is None
            connection.commit()
            rest = shown_until_the_end(ours)
            assert process.wait() == 0, rest
    assert message.startswith("waiting for the server, or for a build that has locked")
