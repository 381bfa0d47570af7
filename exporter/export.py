"""The export: test, then stream one snapshot into files that prove themselves."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from exporter import manifest
from exporter.artifacts import Build
from exporter.chat import Prompt
from exporter.display import counted
from exporter.engines.relations import Relation, Snapshot
from exporter.errors import FinetuneError
from exporter.examples import Examples
from exporter.files import drafts, publish
from exporter.funnel import Funnel, dropped_samples, funnel_table, read_funnel
from exporter.gate import run_gate, shortened
from exporter.progress import say, waiting
from exporter.readers import limits, read_readers
from exporter.tokens import Counter

OpenSnapshot = Callable[
    [Relation, Sequence[Relation]], AbstractContextManager[Snapshot]
]


def export(
    build: Build,
    *,
    snapshot: OpenSnapshot,
    output_dir: Path,
    system: Prompt,
    gate: bool,
    dialect: str = "messages",
    counter: Counter | None = None,
) -> list[Path]:
    """Write clean.jsonl, train.jsonl, valid.jsonl and manifest.json.

    Everything is read in one snapshot. The old files stay as they are until all of
    the new ones are on the disk; the manifest comes last. Returns the files written.

    Raises:
        FinetuneError: The gate refuses, there is no example, or the database or
            the folder does.
    """
    with ExitStack() as stack:
        with waiting("the server, or for a build there that holds the tables"):
            moment = stack.enter_context(snapshot(build.examples, build.read))
        examples = Examples(
            moment, build, system=system, dialect=dialect, counter=counter
        )
        funnel = read_funnel(moment, build)
        results = run_gate(moment, build) if gate else []
        for line in funnel_table(funnel.rules).splitlines():
            say(line)
        expected = examples.count()
        if not expected.keys() - {"validation"}:
            _say_what_was_dropped(moment, build, funnel)
            raise FinetuneError(
                f"{build.examples} has no pair to train on, so nothing was written; "
                "change the rule that dropped the last rows, or its var"
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
                    gate=results if gate else None,
                    moment=moment.facts(),
                )
            )
            proof.finish()
            publish(*written, proof, absent=[] if valid in written else [valid])
    _say_of_the_result(splits, funnel, dialect)
    return [draft.path for draft in [*written, proof]]


def _say_what_was_dropped(moment: Snapshot, build: Build, funnel: Funnel) -> None:
    """Show a few rows that the rule dropped after which none was left."""
    fatal = next((r["rule"] for r in funnel.rules if r.get("rows_after") == 0), "")
    rows = dropped_samples(moment, build, funnel, limit=3).get(fatal, [])
    if rows:
        say(f"{fatal} dropped the last rows, such as:")
    for row in rows:
        say(f"  {shortened(row)}")


def _say_of_the_result(
    splits: dict[str, dict[str, Any]],
    funnel: Funnel,
    dialect: str,
) -> None:
    """Say what share went to validation, and whether there are enough examples."""
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
    for fewest, names in limits("examples", readers):
        if train["pairs"] < fewest:
            say(
                f"warning: {counted(train['pairs'], 'training example')}; "
                f"{', '.join(names)} refuse fewer than {fewest}"
            )
