"""The tables of docs/check.md and docs/endpoints.md, printed from the readers' files.

`make tables` writes them; a test holds them.
"""

import re
from pathlib import Path

from exporter.readers import Reader, read_readers

DOCS = Path(__file__).parents[1] / "docs"
_MARK = re.compile(r"(<!-- readers: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def limits() -> str:
    """Return who is known, with limits and sources."""
    rows = ["reader | kind | rows' form | limits | source, read", "--- | " * 4 + "---"]
    for reader in read_readers().values():
        stated = ", ".join(f"{k} {v:,}" for k, v in reader.limits.items())
        rows.append(
            f"`{reader.name}`: {reader.title} | {reader.kind} | {reader.dialect} | "
            f"{stated} | {_sources(reader)}"
        )
    return _table(rows)


def dates() -> str:
    """Return what closes when, and which models end."""
    rows = ["provider | date | what", "--- | --- | ---"]
    for reader in read_readers().values():
        for closing in reader.closings:
            rows.append(f"{reader.title} | {closing['date']} | {closing['what']}")
        for model, end in reader.models.items():
            rows.append(f"{reader.title} | {end} | `{model}` and its fine-tunes end")
    return _table(rows)


def _sources(reader: Reader) -> str:
    return "; ".join(f"{s['what']}, {s['read']}" for s in reader.sources)


def _table(rows: list[str]) -> str:
    return "".join(f"| {row} |\n" for row in rows)


def printed(text: str) -> str:
    """Return a document with its tables printed anew."""
    tables = {"limits": limits, "dates": dates}
    return _MARK.sub(lambda mark: f"{mark[1]}{tables[mark[2]]()}{mark[3]}", text)


if __name__ == "__main__":
    for path in (DOCS / "check.md", DOCS / "endpoints.md"):
        path.write_text(printed(path.read_text(encoding="utf-8")), encoding="utf-8")
