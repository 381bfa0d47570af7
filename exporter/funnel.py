"""The funnel of a data set: what each rule dropped, as a table and as sample rows."""

import json
from collections.abc import Sequence
from contextlib import suppress
from numbers import Number
from operator import itemgetter
from typing import Any, NamedTuple

from exporter.artifacts import Build
from exporter.display import visible
from exporter.engines.relations import Column, Kind, Relation, Snapshot
from exporter.errors import FinetuneError

# The numbers of the table. A funnel without them is recorded, but not shown.
_COUNTS = (
    *("rows_before", "rows_dropped", "rows_after"),
    *("titles_before", "titles_dropped", "titles_after"),
)
# The columns about the build, the same in each row, and the one that sorts the rows.
_HIDDEN = {"dbt_invocation_id", "built_at", "vars", "position"}

# The columns of the examples that merged rows are found by.
_LINEAGE = {"copies", "first_uid"}

# Samples show at most this many characters of a text.
_MAX_CHARACTERS = 200


class Funnel(NamedTuple):
    """What each rule dropped, and the run of dbt that counted it."""

    rules: list[dict[str, Any]]
    built_at: str
    invocation_id: str
    vars: dict[str, Any]


def read_funnel(snapshot: Snapshot, build: Build) -> Funnel:
    """Read the funnel of a data set; without one there are no rules.

    Raises:
        FinetuneError: It is empty, or cannot be read.
    """
    rows: list[dict[str, Any]] = []
    if build.funnel:
        rows = snapshot.query(f"select * from {snapshot.quoted(*build.funnel.path)}")
        if not rows:
            raise FinetuneError(f"{build.funnel} is empty; run dbt build")
        with suppress(KeyError, TypeError):  # Another project's may have none, or null.
            rows.sort(key=itemgetter("position"))
    results = build.artifacts.results
    run = {
        "dbt_invocation_id": results["metadata"]["invocation_id"],
        "built_at": results["metadata"]["generated_at"],
        "vars": results["args"].get("vars") or {},
        **(rows[0] if rows else {}),
    }
    return Funnel(
        rules=[{n: v for n, v in row.items() if n not in _HIDDEN} for row in rows],
        built_at=str(run["built_at"]),
        invocation_id=str(run["dbt_invocation_id"]),
        vars=_vars(run["vars"]),
    )


def _vars(value: object) -> dict[str, Any]:
    """Return the vars of a build, which a funnel stores as a JSON object."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def funnel_table(rules: list[dict[str, Any]]) -> str:
    """Return the funnel as text, one line per rule; "" if it has other columns."""
    if not rules or not all(map(_has_counts, rules)):
        return ""
    lines = [["rule", "rows", "dropped", "left", "titles", "dropped", "left"]]
    for rule in rules:
        numbers = (f"{rule[name]:,}" for name in _COUNTS)
        lines.append([visible(rule["rule"]), *numbers])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _has_counts(rule: dict[str, Any]) -> bool:
    return "rule" in rule and all(isinstance(rule.get(n), Number) for n in _COUNTS)


def dropped_samples(
    snapshot: Snapshot, build: Build, funnel: Funnel, *, limit: int
) -> dict[str, list[dict[str, Any]]]:
    """Return at most `limit` rows that each rule dropped, by the rule's name.

    The rules are in the order of the funnel; a row has the columns of the outcomes,
    long texts cut. Rows are chosen by their hash, so the same rows give the same
    samples on every engine. Of rows merged into one pair, the sample is one whose uid
    is not `first_uid`, and has `first_uid` too. Without outcomes there are no samples.

    Raises:
        FinetuneError: The outcomes cannot be read.
    """
    if not build.outcomes or not limit:
        return {}
    columns = snapshot.columns(build.outcomes)
    known = {column.name for column in columns}
    if "dropped_by" not in known:
        raise build.data_set.error(
            "outcomes",
            f"{build.outcomes} has no column dropped_by; name the rule that dropped a "
            "row in it",
        )
    cells = _cells(columns)
    rows = snapshot.query(_dropped_query(snapshot, build.outcomes, cells, limit))
    merging = [r["rule"] for r in funnel.rules if r.get("applies_to") == "pair"]
    lineage = {column.name for column in snapshot.columns(build.examples)}
    if merging and lineage >= _LINEAGE and known >= {"uid", "pair_id"}:
        query = _merged_query(snapshot, build, build.outcomes, cells, limit)
        rows += [{"dropped_by": merging[0], **row} for row in snapshot.query(query)]
    names = [str(r["rule"]) for r in funnel.rules if "rule" in r]
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for row in rows:
        samples.setdefault(str(row.pop("dropped_by")), []).append(row)
    return {rule: found for rule, found in samples.items() if found}


def _dropped_query(
    snapshot: Snapshot, outcomes: Relation, cells: dict[str, str], limit: int
) -> str:
    """Return the query for a few rows of each rule that the outcomes name."""
    return (
        f"select dropped_by, {', '.join(map(snapshot.quoted, cells))}"
        f" from (select dropped_by, {_select_list(snapshot, cells)}, row_number() over"
        f" (partition by dropped_by order by {_hash(cells)}) as sample_place"
        f" from {snapshot.quoted(*outcomes.path)} where dropped_by is not null) t"
        f" where sample_place <= {limit} order by dropped_by, sample_place"
    )


def _merged_query(
    snapshot: Snapshot,
    build: Build,
    outcomes: Relation,
    cells: dict[str, str],
    limit: int,
) -> str:
    """Return the query for one merged row of each of a few pairs."""
    key = snapshot.quoted(build.data_set.id)
    place = f"case when uid = first_uid then 0 else 1 end, {_hash(cells)}"
    return (
        f"select {', '.join(map(snapshot.quoted, cells))}, first_uid from"
        f" (select {_select_list(snapshot, cells)}, first_uid, pair_key, row_number()"
        f" over (partition by pair_key order by {place}) as sample_place"
        f" from {snapshot.quoted(*outcomes.path)} o"
        f" join (select {key} as pair_key, first_uid"
        f" from {snapshot.quoted(*build.examples.path)} where copies > 1"
        f" order by {key} limit {limit}) p on pair_id = pair_key) t"
        " where sample_place = 2 order by pair_key"
    )


def _cells(columns: Sequence[Column]) -> dict[str, str]:
    """Return the SQL of each value in a sample, by the column's name."""
    return {
        column.name: f"left({column.expression}, {_MAX_CHARACTERS})"
        if column.kind is Kind.TEXT
        else column.expression
        for column in columns
        if column.name not in ("dropped_by", "pair_id")
    }


def _select_list(snapshot: Snapshot, cells: dict[str, str]) -> str:
    return ", ".join(f"{sql} as {snapshot.quoted(name)}" for name, sql in cells.items())


def _hash(cells: dict[str, str]) -> str:
    return f"md5(concat_ws(chr(31), {', '.join(cells.values())}))"
