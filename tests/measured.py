"""Tables of docs/check.md that runs of real readers and trainers write.

A row is written anew by the run that it tells of (make test-recipes, make
test-readers); a test holds the form.
"""

import fcntl
import re
import subprocess
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/check.md"
ROW = re.compile(r"\| `(?P<name>[a-z-]+)` \| (?P<version>\S+ \d[\w.]*) \| [^|]+ \|\n")


def rows(table: str) -> str:
    """Return the rows of a table."""
    return _table(table).search(PAGE.read_text(encoding="utf-8"))[2]  # type: ignore[index]


def record(table: str, name: str, python: Path, package: str, found: str) -> None:
    """Write the row of a name: the version of the package, and the result."""
    ask = f"import importlib.metadata as m; print(m.version({package!r}), end='')"
    version = subprocess.run(
        [python, "-c", ask], capture_output=True, text=True, check=True
    ).stdout
    row = f"| `{name}` | {package} {version} | {found} |\n"
    with PAGE.open("r+", encoding="utf-8") as page:
        fcntl.flock(page, fcntl.LOCK_EX)
        text = page.read()
        kept = {m["name"]: m[0] for m in ROW.finditer(_table(table).search(text)[2])}  # type: ignore[index]
        kept[name] = row
        body = "".join(kept[key] for key in sorted(kept))
        page.seek(0)
        page.truncate()
        page.write(_table(table).sub(lambda m: m[1] + body + m[3], text))


def _table(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"(<!-- measured: {name} -->\n.*?\| --- \|\n)(.*?)(<!-- end -->)", re.DOTALL
    )


PACKAGES = {
    "hf-datasets": "datasets",
    "mistral": "mistral-common",
    "mlx": "mlx-lm",
    "nemo": "nemo-automodel",
    "nova": "amzn-nova-forge",
    "tinker": "tinker-cookbook",
    "together": "together",
    "trl": "trl",
}
