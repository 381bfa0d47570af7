"""The export: test a snapshot, then write its rows and a manifest with their hashes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from exporter import manifest
from exporter.artifacts import Build
from exporter.chat import Prompt
from exporter.display import counted, row_preview
from exporter.engines.relations import Relation, Snapshot
from exporter.errors import FinetuneError
from exporter.examples import Examples
from exporter.files import drafts, publish
from exporter.funnel import Funnel, dropped_samples, funnel_table, read_funnel
from exporter.gate import run_gate
from exporter.progress import say, waiting
from exporter.readers import read_readers, readers_by_limit
from exporter.tokens import Counter

OpenSnapshot = Callable[
    [Relation, Sequence[Relation]], AbstractContextManager[Snapshot]
]


def export(
    build: Build,
    *,
    open_snapshot: OpenSnapshot,
    output_dir: Path,
    system: Prompt,
    gate: bool,
    dialect: str = "messages",
    counter: Counter | None = None,
) -> list[Path]:
    """Write clean.jsonl, train.jsonl, valid.jsonl and manifest.json.

    All queries read one snapshot. The old files stay until all new ones are on the
    disk; the manifest is renamed last. Returns the paths of the new files.

    Raises:
        FinetuneError: A test fails, there is no training example, or the database or
            the folder refuses.
    """
    with ExitStack() as stack:
        with waiting("the server, or for a build that has locked the tables"):
            snapshot = stack.enter_context(open_snapshot(build.examples, build.reads))
        examples = Examples(
            snapshot, build, system=system, dialect=dialect, counter=counter
        )
        funnel = read_funnel(snapshot, build)
        results = run_gate(snapshot, build) if gate else None
        for line in funnel_table(funnel.rules).splitlines():
            say(line)
        expected = examples.count()
        if not expected.keys() - {"validation"}:
            rule = _show_last_dropped_rows(snapshot, build, funnel)
            raise FinetuneError(
                f"{build.examples} has no pair to train on, so nothing was written; "
                f"relax {rule or 'a rule'}, or its threshold in dbt_project.yml"
            )
        with drafts(output_dir, *manifest.NAMES) as (clean, train, valid, proof):
            splits = examples.write(expected, clean, train, valid)
            written = [clean, train, *([valid] if "validation" in expected else [])]
            proof.write_line(
                manifest.content(
                    build,
                    files={draft.path.name: draft.finish() for draft in written},
                    splits=splits,
                    dialect=dialect,
                    system_prompt=examples.system_prompt,
                    funnel=funnel,
                    gate=results,
                    snapshot=snapshot.metadata(),
                )
            )
            proof.finish()
            publish(*written, proof, absent=[] if valid in written else [valid])
    _report_splits(splits, funnel, dialect)
    return [draft.path for draft in [*written, proof]]


def _show_last_dropped_rows(snapshot: Snapshot, build: Build, funnel: Funnel) -> str:
    """Show a few rows that the rule dropped after which none was left; return it."""
    last = next((r["rule"] for r in funnel.rules if r.get("rows_after") == 0), "")
    rows = dropped_samples(snapshot, build, funnel, limit=3).get(last, [])
    if rows:
        say(f"{last} dropped the last rows, such as:")
    for row in rows:
        say(f"  {row_preview(row)}")
    return str(last)


def _report_splits(
    splits: dict[str, dict[str, Any]], funnel: Funnel, dialect: str
) -> None:
    """Report the share of the validation split; warn of too few training examples."""
    train, valid = splits["train"], splits["validation"]
    asked = funnel.vars.get("validation_percent")
    if valid["pairs"] or asked:
        shares = ", ".join(
            f"{valid[unit]:,} of {(total := train[unit] + valid[unit]):,} {unit}"
            f" ({100 * valid[unit] / total:.1f} %)"
            for unit in ("titles", "pairs")
        )
        say(f"validation: {shares}" + (f"; asked for {asked} %" if asked else ""))
    readers = {k: r for k, r in read_readers().items() if r.dialect == dialect}
    for fewest, names in readers_by_limit("examples", readers):
        if train["pairs"] < fewest:
            verb = "refuses" if len(names) == 1 else "refuse"
            say(
                f"warning: {counted(train['pairs'], 'training example')}; "
                f"{', '.join(names)} {verb} fewer than {fewest}"
            )
