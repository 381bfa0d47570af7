"""What each rule took: read from the funnel of a data set, and shown."""

import json
import re
from operator import itemgetter
from typing import Any, NamedTuple

from exporter.artifacts import Build
from exporter.display import visible
from exporter.engines.relations import Relation
from exporter.errors import FinetuneError
from exporter.gate import Snapshot

# What is shown of a rule; a funnel that lacks one of them is only recorded.
_SHOWN = (
    "rule",
    "rows_before",
    "rows_dropped",
    "rows_after",
    "titles_before",
    "titles_dropped",
    "titles_after",
)
# What a funnel says of the run of dbt that counted, the same on every row.
_OF_THE_RUN = ("dbt_invocation_id", "built_at", "vars")


class Funnel(NamedTuple):
    """What each rule took, and the run of dbt that counted it."""

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
        rows = moment.query(f"select * from {_quoted(moment, build.funnel)}")
        if not rows:
            raise FinetuneError(f"{build.funnel} is empty; run dbt build")
        if "position" in rows[0]:
            rows.sort(key=itemgetter("position"))
        run |= {name: rows[0][name] for name in _OF_THE_RUN if name in rows[0]}
        rules = [
            {
                name: value
                for name, value in row.items()
                if name not in (*_OF_THE_RUN, "position")
            }
            for row in rows
        ]
    vars_ = run["vars"]
    return Funnel(
        rules,
        str(run["built_at"]),
        str(run["dbt_invocation_id"]),
        json.loads(vars_) if isinstance(vars_, str) else vars_,
    )


def funnel_table(rules: list[dict[str, Any]]) -> str:
    """Return the funnel as aligned text, a line a rule; "" if it has other columns."""
    if not _counts_rows(rules):
        return ""
    header = ["rule", "rows", "dropped", "left", "titles", "dropped", "left"]
    lines = [
        header,
        *(
            [f"{rule[c]:,}" if c != "rule" else visible(rule[c]) for c in _SHOWN]
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


def last_rows_dropped(
    moment: Snapshot, build: Build, funnel: Funnel
) -> tuple[str, list[dict[str, Any]]] | None:
    """Return the rule after which no row was left, and three of the rows it dropped."""
    if not build.outcomes or not _counts_rows(funnel.rules):
        return None
    fatal = next((r["rule"] for r in funnel.rules if not r["rows_after"]), "")
    if not re.fullmatch(r"\w+", fatal) or not funnel.rules[0]["rows_before"]:
        return None
    rows = moment.query(
        f"select * from {_quoted(moment, build.outcomes)}"
        f" where dropped_by = '{fatal}' limit 3"
    )
    return fatal, rows


def _counts_rows(rules: list[dict[str, Any]]) -> bool:
    return bool(rules) and rules[0].keys() >= {*_SHOWN}


def _quoted(moment: Snapshot, relation: Relation) -> str:
    return moment.quoted(relation.schema, relation.name)
