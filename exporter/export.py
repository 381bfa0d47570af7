"""The export: test, then stream one snapshot into files that prove themselves."""

import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import orjson

from exporter import __version__
from exporter.artifacts import Build
from exporter.chat import chat_messages, chat_template, encoded, json_line
from exporter.engines.relations import PAIR_COLUMNS, Pair, Relation
from exporter.errors import FinetuneError
from exporter.files import Draft, drafts, publish
from exporter.gate import Funnel, Snapshot, run_gate, shortened
from exporter.readers import limits, read_readers
from exporter.tokens import Counter, Tally

FUNNEL_COLUMNS = (
    "rule",
    "rows_before",
    "rows_dropped",
    "rows_after",
    "titles_before",
    "titles_dropped",
    "titles_after",
)


# A line of clean.jsonl, to be filled with what its keys name, `encoded`.
_CLEAN_LINE = json_line(
    {
        column: orjson.Fragment(b"%d" if type_ == "int8" else b"%b")
        for column, type_ in PAIR_COLUMNS.items()
    }
)


def export(
    build: Build,
    *,
    snapshot: Callable[[Sequence[Relation]], AbstractContextManager[Snapshot]],
    output_dir: Path,
    system: str | None,
    gate: bool,
    say: Callable[[str], None],
    counter: Counter | None = None,
) -> list[Path]:
    """Write clean.jsonl, train.jsonl, valid.jsonl and manifest.json.

    Everything is read in one snapshot. The old files stay as they are until
    all of the new ones are on the disk; the manifest comes last. Returns the
    files written.

    Raises:
        FinetuneError: The gate refuses, there is no pair, or the database or
            the folder does.
    """
    if gate and build.faults:
        raise FinetuneError(f"{'; '.join(build.faults[:3])}; run dbt build")
    with snapshot([build.pairs, *build.tested_relations]) as moment:
        funnel = _read_funnel(moment, build)
        results = run_gate(moment, build, funnel, say) if gate else []
        say(funnel_table(funnel.rules))
        titles = _titles_per_split(moment, build)
        if not titles.get("train"):
            _say_what_was_dropped(moment, build, funnel, say)
            raise FinetuneError(
                f"{build.pairs} has no pair to train on, so nothing was written; "
                "change the rule, or its var, that took the last rows"
            )
        names = ["clean.jsonl", "train.jsonl", "valid.jsonl", "manifest.json"]
        with drafts(output_dir, *names) as (clean, train, valid, manifest):
            sides = {"train": train, "validation": valid}
            # Left open by an error, it would wait for its connection for ever.
            with closing(moment.pairs(build.pairs)) as pairs:
                splits = _write_pairs(pairs, clean, sides, system, counter)
            written = [clean, train, *([valid] if titles.get("validation") else [])]
            document = {
                "manifest_version": 1,
                "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "tool": f"finetune-exporter {__version__}",
                "git_commit": _git_commit(build.project_dir),
                "files": {d.path.name: d.finish()._asdict() for d in written},
                "splits": {
                    split: {"titles": titles.get(split, 0), **counts}
                    for split, counts in splits.items()
                },
                "system_prompt": system,
                "engine": build.engine,
                "relation": build.pairs._asdict(),
                "dbt": {
                    "version": build.dbt_version,
                    "invocation_id": funnel.invocation_id,
                    "built_at": funnel.built_at,
                },
                "vars": funnel.vars,
                "funnel": funnel.rules,
                "gate": {"ran": gate, "tests": [r._asdict() for r in results]},
                **moment.facts(),
            }
            options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            manifest.write_line(orjson.dumps(document, option=options))
            manifest.finish()
            publish(*written, manifest, absent=[] if valid in written else [valid])
    examples = splits["train"]["pairs"]
    for fewest, names in limits("examples", read_readers()):
        if examples < fewest:
            say(
                f"warning: {examples} training examples; {', '.join(names)} refuse "
                f"fewer than {fewest}"
            )
    return [draft.path for draft in [*written, manifest]]


def _write_pairs(
    pairs: Iterable[Pair],
    clean: Draft,
    sides: dict[str, Draft],
    system: str | None,
    counter: Counter | None,
) -> dict[str, dict[str, Any]]:
    """Write each pair to the clean file and to its side; count both sides."""
    counts: dict[str, dict[str, Any]] = {
        split: {"pairs": 0, "characters": 0} for split in sides
    }
    tallies = {split: Tally(counter) for split in sides} if counter else {}
    chat_line = chat_template(system)
    for pair_id, title, description, split, occurrences, copies, first_uid in pairs:
        user, assistant = encoded(title), encoded(description)
        uid = b"null" if first_uid is None else encoded(first_uid)
        clean.write_line(
            _CLEAN_LINE
            % (
                encoded(pair_id),
                user,
                assistant,
                encoded(split),
                occurrences,
                copies,
                uid,
            )
        )
        sides[split].write_line(chat_line % (user, assistant))
        counts[split]["pairs"] += 1
        counts[split]["characters"] += len(title) + len(description)
        if tallies:
            messages = chat_messages(system, title, description)
            tallies[split].add(counts[split]["pairs"], messages)
    for split, tally in tallies.items():
        counts[split]["tokens"] = tally.facts()
    return counts


def _read_funnel(moment: Snapshot, build: Build) -> Funnel:
    rows = moment.query(f"select * from {build.funnel.quoted()} order by position")
    if not rows:
        raise FinetuneError(f"{build.funnel} is empty; run dbt build")
    return Funnel(
        rules=[{column: row[column] for column in FUNNEL_COLUMNS} for row in rows],
        built_at=rows[0]["built_at"],
        invocation_id=rows[0]["dbt_invocation_id"],
        vars=json.loads(rows[0]["vars"]),
    )


def _titles_per_split(moment: Snapshot, build: Build) -> dict[str, int]:
    rows = moment.query(
        "select split, count(*) as titles from (select split, title"
        f" from {build.pairs.quoted()} group by split, title) t group by split"
    )
    return {row["split"]: row["titles"] for row in rows}


def _say_what_was_dropped(
    moment: Snapshot, build: Build, funnel: Funnel, say: Callable[[str], None]
) -> None:
    """Show a few rows that the rule dropped after which none was left."""
    fatal = next((r["rule"] for r in funnel.rules if not r["rows_after"]), None)
    if fatal and funnel.rules[0]["rows_before"]:
        rows = moment.query(
            f"select uid, title, description from {build.dropped.quoted()}"
            f" where dropped_by = '{fatal}' limit 3"
        )
        say(f"{fatal} took the last rows, such as:")
        for row in rows:
            say(f"  {shortened(row)}")


def funnel_table(rules: list[dict[str, Any]]) -> str:
    """Return the funnel as aligned text, one line a rule."""
    header = ["rule", "rows", "dropped", "left", "titles", "dropped", "left"]
    lines = [
        header,
        *(
            [f"{rule[c]:,}" if c != "rule" else rule[c] for c in FUNNEL_COLUMNS]
            for rule in rules
        ),
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _git_commit(folder: Path) -> str | None:
    """Return the commit of the project, "+changes" added if it has any."""
    git = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "."],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout else "")
