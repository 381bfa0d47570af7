"""How many harmful texts the warnings find, and how many false warnings there are.

`make harm` writes the tables of docs/check.md; a test holds those of the planted texts.
"""

import csv
import gzip
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from exporter.checking.files import check_file
from exporter.checking.lines import check_line
from exporter.checking.rules import Finding, read_rules
from exporter.checking.texts import contains_html
from exporter.engines import embedded
from tests.harm_corpus import chat_line, corpus
from tests.workspace import REPOSITORY, SHARED_DATA, Workspace, project_in

# What `finetune check` calls a harm, and dbt's test for it.
HARMS = {
    "special-token": "control_token",
    "mojibake": "mojibake",
    "literal-escape": "literal_escape",
    "html": "html",
    "secret": "key",
    "payment-card": "card_number",
    "iban": None,
    "email-address": "email_address",
    "phone-number": "phone_number",
    "null-word": "is_no_null_word",
    "answer-is-question": "differs_from",
    "answer-for-many": "stands_under_few_titles",
}
DOC = REPOSITORY / "docs/check.md"
_MARK = re.compile(r"(<!-- harm: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Pair(NamedTuple):
    """A title and a text, and the harm that was planted in it."""

    title: str
    text: str
    harm: str | None = None


Found = dict[str, set[int]]


def planted() -> list[Pair]:
    """Return the pairs of the corpus, with the harm in each."""
    made = corpus()
    texts = [Pair(f"Product {n}", t.text, t.rule) for n, t in enumerate(made.texts)]
    return texts + [Pair(title, text, harm) for harm, title, text in made.pairs]


def found_by_check(pairs: list[Pair]) -> Found:
    """Return which pairs break which rule, according to `finetune check`."""
    found: Found = defaultdict(set)

    def note(finding: Finding) -> None:
        if finding.rule != "html" and finding.line:
            found[finding.rule].add(finding.line - 1)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.jsonl")
        lines = [chat_line(pair.title, pair.text) for pair in pairs]
        path.write_bytes(b"".join(lines))
        check_file(path, read_rules(), note)
    found["html"] = {n for n, line in enumerate(lines) if contains_html(line)}
    # Of an answer to many questions only the first is named.
    first = {pairs[n].text for n in found["answer-for-many"]}
    found["answer-for-many"] = {n for n, p in enumerate(pairs) if p.text in first}
    return found


def found_by_dbt(workspace: Workspace, pairs: list[Pair]) -> Found:
    """Return which pairs the data tests report, after a build."""
    workspace.insert([(n, pair.title, pair.text) for n, pair in enumerate(pairs)])
    workspace.build("--vars", "{min_title_occurrences: 1, min_description_length: 0}")
    stored = workspace.sql(
        "select first_uid::int, description, harms"
        " from finetune.int_finetune__pairs_deduplicated"
    )
    found: Found = defaultdict(set)
    places = defaultdict(set)
    for number, description, harms in stored:
        places[description].add(number)
        for harm in harms.split():
            found[harm].add(number)
    manifest = json.loads((workspace.project / "target/manifest.json").read_bytes())
    for node in manifest["nodes"].values():
        name = node.get("test_metadata", {}).get("name")
        if name and name in HARMS.values():
            for row in workspace.sql(node["compiled_code"]):
                found[name] |= places[row[name.startswith("stands")]]
    return found


def planted_table(workspace: Workspace) -> str:
    """Return the findings in planted texts, and those in clean ones."""
    pairs = planted()
    check, dbt = found_by_check(pairs), found_by_dbt(workspace, pairs)
    clean = {n for n, pair in enumerate(pairs) if pair.harm is None}
    rows = [
        "warning | planted | `check`: recall, precision, false | dbt test",
        "--- | --- | --- | ---",
    ]
    for rule, harm in HARMS.items():
        wanted = {n for n, pair in enumerate(pairs) if pair.harm == rule}
        figures = [
            _figures(found, wanted, clean) for found in (check[rule], dbt[harm or ""])
        ]
        rows.append(
            f"`{rule}` | {len(wanted)} | {figures[0]} | {figures[1] if harm else '-'}"
        )
    return _table(rows)


def _figures(found: set[int], wanted: set[int], clean: set[int]) -> str:
    right, false = len(found & wanted), len(found & clean)
    precision = right / (right + false) if right + false else 1
    return f"{100 * right / len(wanted):.1f} %, {100 * precision:.1f} %, {false}"


def sets(names: Collection[str] = ()) -> dict[str, list[Pair]]:
    """Return the pairs of the sample and the shared sets, or of the named ones."""
    paths = {"bundled sample": REPOSITORY / "examples/products.csv"}
    for path in sorted(SHARED_DATA.glob("*.jsonl.gz")):
        if not path.name.startswith("edge"):  # Made for its faults.
            paths[path.name.partition(".")[0]] = path
    return {k: _pairs(v) for k, v in paths.items() if k in names or not names}


def _pairs(path: Path) -> list[Pair]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        with gzip.open(path) as lines:
            rows = [json.loads(line) for line in lines]
    pairs = [Pair(row["title"], row["content"]) for row in rows]
    return [pair for pair in pairs if pair.title and pair.text]


def alarms(pairs: Iterable[Pair]) -> str:
    """Return the number of warnings of each rule in the texts of a real set."""
    counts: dict[str, int] = defaultdict(int)
    total = 0
    for pair in pairs:
        total += 1
        line = chat_line(pair.title, pair.text)
        rules = {fault.rule for fault in check_line(line)[1]}
        rules |= {"html"} if contains_html(line) else set()
        for rule in rules & HARMS.keys():
            counts[rule] += 1
    said = [f"`{rule}` {counts[rule]:,}" for rule in HARMS if counts[rule]]
    return f"{total:,} | {', '.join(said) or 'none'}"


def real_table() -> str:
    """Return the warnings in real texts."""
    rows = ["texts | how many | warned of", "--- | --- | ---"]
    rows += [f"{name} | {alarms(pairs)}" for name, pairs in sets().items()]
    return _table(rows)


def _table(rows: list[str]) -> str:
    return "".join(f"| {row} |\n" for row in rows)


def table_in_the_docs(name: str) -> str:
    """Return a table in Markdown."""
    text = DOC.read_text(encoding="utf-8")
    return next(m[0] for m in _MARK.finditer(text) if m[2] == name).split("\n", 1)[1]


def main() -> None:
    """Write the tables again."""
    if not SHARED_DATA.exists():
        raise SystemExit(f"{SHARED_DATA} is absent: name it in FINETUNE_SHARED_DIR")
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        embedded.serving(Path(folder, "s")) as variables,
    ):
        project = Path(folder, "p")
        project.mkdir()
        tables = {"planted": planted_table(project_in(project, variables))}
    tables["real"] = real_table()
    text = DOC.read_text(encoding="utf-8")
    text = _MARK.sub(lambda mark: f"{mark[1]}{tables[mark[2]]}{mark[3]}", text)
    DOC.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
