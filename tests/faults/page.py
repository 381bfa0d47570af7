"""Run as a program: write the results of a run into docs/reliability.md.

Arguments: the name of the table, and the folder with the results.
"""

import json
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

from tests.faults.subjects import LOST, NEW, OLD, REFUSED
from tests.workspace import REPOSITORY

PAGE = REPOSITORY / "docs/reliability.md"
STATES = (OLD, NEW, REFUSED, LOST)


def faults(folder: Path) -> str:
    """Return the table of the states after each kind of fault."""
    counts: dict[str, Counter[str]] = {}
    commands: dict[str, set[str]] = {}
    for path in folder.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            kind, command = row.pop("kind"), row.pop("command")
            counts.setdefault(kind, Counter()).update(row)
            commands.setdefault(kind, set()).add(command)
    lines = ["| fault | commands | moments | old | new | refused | lost |"]
    lines += ["| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    total: Counter[str] = Counter()
    for kind, found in sorted(counts.items()):
        total.update(found)
        names = ", ".join(sorted(commands[kind]))
        lines.append(f"| {kind} | {names} {_cells(found)}")
    met = sum(len(found) for found in commands.values())
    lines.append(
        f"| **{len(counts)} kinds** | {met} of a kind and command {_cells(total)}"
    )
    return "\n".join(lines)


def _cells(counts: Counter[str]) -> str:
    cells = [sum(counts.values()), *(counts[state] for state in STATES)]
    return "".join(f"| {cell:,} " for cell in cells) + "|"


def soak(folder: Path) -> str:
    """Return the table of a soak's figures."""
    figures = json.loads((folder / "soak.json").read_text())
    lines = ["| figure | value |", "| --- | ---: |"]
    return "\n".join(
        [*lines, *(f"| {name} | {value} |" for name, value in figures.items())]
    )


def main() -> None:
    """Write a table between its marks, with the day of the run."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    table = {"faults": faults, "soak": soak}[name](folder)
    begin, end = f"<!-- {name}: written by make {name} -->\n", f"<!-- {name}: end -->"
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(begin)
    _, mark, tail = rest.partition(end)
    if not mark:
        sys.exit(f"{PAGE}: no place for {name}")
    day = datetime.now(timezone.utc).date()
    text = f"{head}{begin}\nRun of {day}:\n\n{table}\n\n{end}{tail}"
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{table}\n")


if __name__ == "__main__":
    main()
