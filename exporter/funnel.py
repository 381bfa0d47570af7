"""What each rule dropped: read from the funnel of a data set, and shown."""

import json
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from exporter.artifacts import Build
from exporter.display import visible
from exporter.engines.relations import Column, Kind, Relation, Snapshot
from exporter.errors import FinetuneError

# What is shown of a rule; a funnel that lacks one of them is only recorded.
_SHOWN = (
    *("rule", "rows_before", "rows_dropped", "rows_after"),
    *("titles_before", "titles_dropped", "titles_after"),
)
# The columns of the examples that show merged rows, and the length of a sample's text.
_LINEAGE = {"copies", "first_uid"}
_CUT = 200

# The columns about the run of dbt that counted, the same on every row.
_OF_THE_RUN = ("dbt_invocation_id", "built_at", "vars")


class Funnel(NamedTuple):
    """What each rule dropped, and the run of dbt that counted it."""

    rules: list[dict[str, Any]]
    built_at: str
    invocation_id: str
    vars: dict[str, Any]


def read_funnel(moment: Snapshot, build: Build) -> Funnel:
    """Read the funnel of a data set; without one there are no rules.

    Raises:
        FinetuneError: It is empty, or cannot be read.
    """
    results = build.artifacts.results
    run = {
        "dbt_invocation_id": results["metadata"]["invocation_id"],
        "built_at": results["metadata"]["generated_at"],
        "vars": results["args"].get("vars") or {},
    }
    rules: list[dict[str, Any]] = []
    if build.funnel:
        rows = moment.query(f"select * from {moment.quoted(*build.funnel.path)}")
        if not rows:
            raise FinetuneError(f"{build.funnel} is empty; run dbt build")
        if "position" in rows[0]:
            rows.sort(key=itemgetter("position"))
        run |= {name: rows[0][name] for name in _OF_THE_RUN if name in rows[0]}
        hidden = {*_OF_THE_RUN, "position"}
        rules = [{n: v for n, v in row.items() if n not in hidden} for row in rows]
    vars_ = run["vars"]
    return Funnel(
        rules,
        str(run["built_at"]),
        str(run["dbt_invocation_id"]),
        json.loads(vars_) if isinstance(vars_, str) else vars_,
    )


def funnel_table(rules: list[dict[str, Any]]) -> str:
    """Return the funnel as text, one line per rule; "" if it has other columns."""
    if not rules or not rules[0].keys() >= {*_SHOWN}:
        return ""
    lines = [["rule", "rows", "dropped", "left", "titles", "dropped", "left"]]
    for rule in rules:
        numbers = (f"{rule[name]:,}" for name in _SHOWN[1:])
        lines.append([visible(rule["rule"]), *numbers])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def dropped_samples(
    moment: Snapshot, build: Build, funnel: Funnel, *, limit: int
) -> dict[str, list[dict[str, Any]]]:
    """Return up to `limit` of the rows that each rule dropped, by the rule's name.

    The rules come in the order of the funnel; a row has the columns of the outcomes,
    long texts cut. A hash of the rows chooses them: the same rows give the same
    samples, on every engine. Of rows merged into an equal pair it is one with another
    uid than `first_uid`, which the sample names. Without outcomes there are none.

    Raises:
        FinetuneError: The outcomes cannot be read.
    """
    if not build.outcomes or not limit:
        return {}
    columns = moment.columns(build.outcomes)
    rows = moment.query(_dropped(moment, build.outcomes, columns, limit))
    merging = [r["rule"] for r in funnel.rules if r.get("applies_to") == "pair"]
    lineage = {column.name for column in moment.columns(build.examples)}
    known = {column.name for column in columns}
    if merging and lineage >= _LINEAGE and known >= {"uid", "pair_id"}:
        merged = moment.query(_merged(moment, build, columns, limit))
        rows += [{"dropped_by": merging[0], **row} for row in merged]
    samples: dict[str, list[dict[str, Any]]] = {r["rule"]: [] for r in funnel.rules}
    for row in rows:
        samples.setdefault(row.pop("dropped_by"), []).append(row)
    return {rule: found for rule, found in samples.items() if found}


def _dropped(
    moment: Snapshot, outcomes: Relation, columns: Sequence[Column], limit: int
) -> str:
    """Return the query for a few rows of each rule that the outcomes name."""
    cells = _cells(columns)
    return (
        f"select dropped_by, {', '.join(map(moment.quoted, cells))}"
        f" from (select dropped_by, {_selected(moment, cells)}, row_number() over"
        f" (partition by dropped_by order by {_hash(cells)}) as sample_place"
        f" from {moment.quoted(*outcomes.path)} where dropped_by is not null) t"
        f" where sample_place <= {limit} order by dropped_by, sample_place"
    )


def _merged(
    moment: Snapshot, build: Build, columns: Sequence[Column], limit: int
) -> str:
    """Return the query for a row each of a few pairs that hold several."""
    cells = _cells(columns)
    key = moment.quoted(build.data_set.id)
    place = f"case when uid = first_uid then 0 else 1 end, {_hash(cells)}"
    outcomes = moment.quoted(*build.outcomes.path) if build.outcomes else ""
    return (
        f"select {', '.join(map(moment.quoted, cells))}, first_uid"
        f" from (select {_selected(moment, cells)}, first_uid, pair_key, row_number()"
        f" over (partition by pair_key order by {place}) as sample_place"
        f" from {outcomes} o join (select {key} as pair_key, first_uid"
        f" from {moment.quoted(*build.examples.path)} where copies > 1"
        f" order by {key} limit {limit}) p on pair_id = pair_key) t"
        " where sample_place = 2 order by pair_key"
    )


def _cells(columns: Sequence[Column]) -> dict[str, str]:
    """Return the SQL of each value that a sample shows, by the column's name."""
    return {
        column.name: f"left({column.expression}, {_CUT})"
        if column.kind is Kind.TEXT
        else column.expression
        for column in columns
        if column.name not in ("dropped_by", "pair_id")
    }


def _selected(moment: Snapshot, cells: dict[str, str]) -> str:
    return ", ".join(f"{sql} as {moment.quoted(name)}" for name, sql in cells.items())


def _hash(cells: dict[str, str]) -> str:
    return f"md5(concat_ws(chr(31), {', '.join(cells.values())}))"
