"""Measure the speed of `finetune check` and of Together's own checker.

    .venv/bin/python benchmarks/check.py [MEGABYTES]

Each round runs both, one after the other, on the same file of lines of about 910
bytes; the best round counts, because other programs may use the machine. Together's
checker, of the version that `make test-readers` installs, only runs after that.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.lines import chat_line

REPOSITORY = Path(__file__).parents[1]
READERS_PYTHON = REPOSITORY / ".venv-readers/bin/python"
OURS = (
    "import sys; from pathlib import Path;"
    "from exporter.checking.files import check_file;"
    "from exporter.checking.rules import read_rules;"
    "print(check_file(Path(sys.argv[1]), read_rules(), lambda f: None).examples)"
)
TOGETHERS = (
    "import sys; from together.lib.utils.files import check_file;"
    "print(check_file(sys.argv[1])['num_samples'])"
)
MEASURE = (
    ";import resource, json; use = resource.getrusage(resource.RUSAGE_SELF);"
    "print(json.dumps([use.ru_utime + use.ru_stime, use.ru_maxrss / 1024]))"
)


def write_examples(path: Path, size: int) -> None:
    """Write examples from the bundled sample until the file has the size."""
    sample = REPOSITORY / "examples/products.csv"
    with sample.open(encoding="utf-8", newline="") as file:
        rows = [
            (row["title"], row["content"])
            for row in csv.DictReader(file)
            if row["title"] and row["content"]
        ]
    number = 0
    with path.open("wb") as output:
        while output.tell() < size:
            title, content = rows[number % len(rows)]
            number += 1
            text = f"{content} " * (1 + 330 // len(content)) + str(number)
            output.write(
                chat_line(
                    system="You write product descriptions.",
                    title=title,
                    description=text,
                )
            )


def run(python: str, program: str, path: Path) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak megabytes."""
    start = time.perf_counter()
    result = subprocess.run(
        [python, "-c", program + MEASURE, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TQDM_DISABLE": "1"},
    )
    wall = time.perf_counter() - start
    busy, peak = json.loads(result.stdout.splitlines()[-1])
    return wall, busy, peak


def main() -> None:
    """Print the best of five rounds."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 340
    programs = {"finetune check": (sys.executable, OURS)}
    if READERS_PYTHON.exists():
        programs["together's check_file"] = (str(READERS_PYTHON), TOGETHERS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.jsonl")
        write_examples(path, megabytes * 1_000_000)
        best: dict[str, tuple[float, float, float]] = {}
        for _ in range(5):
            for name, (python, program) in programs.items():
                figures = run(python, program, path)
                best[name] = min(best.get(name, figures), figures)
        size = path.stat().st_size / 1e6
    print(
        f"{size:.0f} MB, {os.cpu_count()} processors, Python {sys.version.split()[0]}"
    )
    for name, (wall, busy, peak) in best.items():
        print(
            f"{name:28} {wall:6.2f} s wall, {busy:6.2f} s busy,"
            f" {size / busy:4.0f} MB/s a core, {peak:4.0f} MB peak"
        )


if __name__ == "__main__":
    main()
