"""The funnel of any project is read in order; a hash chooses its samples."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exporter.artifacts import Artifacts, Build
from exporter.dataset import DataSet
from exporter.engines import postgres
from exporter.engines.relations import Relation
from exporter.errors import FinetuneError
from exporter.funnel import (
    _COUNTS,
    Funnel,
    dropped_samples,
    funnel_table,
    read_funnel,
)
from tests import oracle
from tests.workspace import Workspace

LONG = "x" * 300
# uid, title, text, the rule that dropped it, its pair.
ROWS = [
    ("1", "lamp", "a", "too_short", None),
    ("2", "lamp", "b", "too_short", None),
    ("3", "lamp", "c", "too_short", None),
    ("4", "rare", LONG, "title_repeated", None),
    ("5", "lamp", "of brass", None, "p1"),
    ("6", "lamp", " of brass", None, "p1"),
    ("7", "lamp", "of brass ", None, "p1"),
    ("8", "lamp", "of steel", None, "p2"),
    ("9", "lamp", "odd", "unlisted", None),
]
RULES = [
    {"rule": "too_short", "applies_to": "row"},
    {"rule": "blank", "applies_to": "row"},
    {"rule": "title_repeated", "applies_to": "title"},
    {"rule": "pair_distinct", "applies_to": "pair"},
]
METADATA = {"invocation_id": "of the results", "generated_at": "2026-11-26"}


@pytest.fixture
def build(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Return a data set of three tables that were made without dbt."""
    for name, value in workspace.environment.items():
        if name.startswith("PG"):
            monkeypatch.setenv(name, value)
    with workspace.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "create table outcomes (uid text, title text, content text,"
            " dropped_by text, pair_id text)"
        )
        insert = "insert into outcomes values (%s, %s, %s, %s, %s)"
        cursor.executemany(insert, ROWS)
        cursor.execute("create table examples (key text, copies int, first_uid text)")
        cursor.execute("insert into examples values ('p1', 3, '6'), ('p2', 1, '8')")
        cursor.execute(
            "create table funnel (position int, rule text, applies_to text,"
            " dbt_invocation_id text, built_at text, vars text)"
        )
        cursor.executemany(
            "insert into funnel values (%s, %s, %s, 'of the funnel', 'now', %s)",
            [(n, *rule.values(), '{"n": 10}') for n, rule in enumerate(RULES)][::-1],
        )
    database = workspace.environment["PGDATABASE"]
    examples, funnel, outcomes = (
        Relation(database, "public", name)
        for name in ("examples", "funnel", "outcomes")
    )
    return Build(
        Artifacts(Path(), Path(), {}, {"metadata": METADATA, "args": {}}),
        DataSet(
            "exposure.shop.lamps",
            "lamps.yml",
            "model.shop.examples",
            id="key",
            user="title",
            assistant="content",
            system=None,
            system_prompt=None,
            split=None,
            funnel="model.shop.funnel",
            outcomes="model.shop.outcomes",
        ),
        examples,
        funnel,
        outcomes,
        tests=[],
        reads=[],
    )


def by_hash(*rows: tuple[str, str, str]) -> list[tuple[str, str, str]]:
    """Return rows with cut texts, in the order of samples."""
    cut = [(uid, title, text[:200]) for uid, title, text in rows]
    return sorted(cut, key=lambda row: oracle.md5("\x1f".join(row)))


def shown(row: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("uid", "title", "content"), row, strict=True))


def test_rules_are_in_their_order_with_the_run_that_counted_them(build: Build) -> None:
    with postgres.open_snapshot(build.examples, []) as snapshot:
        assert read_funnel(snapshot, build) == (
            RULES,
            "now",
            "of the funnel",
            {"n": 10},
        )
        without = build._replace(funnel=None)
        run = "2026-11-26", "of the results"
        assert read_funnel(snapshot, without) == ([], *run, {})
        results = {"metadata": METADATA, "args": {"vars": {"n": 3}}}
        artifacts = build.artifacts._replace(results=results)
        found = read_funnel(snapshot, without._replace(artifacts=artifacts))
        assert found == ([], *run, {"n": 3})


def test_a_funnel_of_one_rule_is_read(build: Build, workspace: Workspace) -> None:
    workspace.sql("delete from funnel where position > 0")
    with postgres.open_snapshot(build.examples, []) as snapshot:
        found = read_funnel(snapshot, build)
    assert found == (RULES[:1], "now", "of the funnel", {"n": 10})


def test_a_funnel_with_other_columns_is_returned_unchanged(
    build: Build, workspace: Workspace
) -> None:
    workspace.sql("drop table funnel")
    workspace.sql(
        "create table funnel as select 'b' as rule, 5 as n union all select 'a', 6"
    )
    with postgres.open_snapshot(build.examples, []) as snapshot:
        rules = read_funnel(snapshot, build).rules
    assert rules == [{"rule": "b", "n": 5}, {"rule": "a", "n": 6}]
    assert funnel_table(rules) == funnel_table([]) == ""


def test_columns_of_our_names_may_hold_anything_in_a_funnel_of_others(
    build: Build, workspace: Workspace
) -> None:
    counts = dict.fromkeys(
        ("rows_before", "rows_after", "titles_before", "titles_dropped"), 1
    ) | {"rows_dropped": None, "titles_after": "some"}
    workspace.sql("drop table funnel")
    workspace.sql(
        "create table funnel as select 'no json' as vars, null as dbt_invocation_id,"
        " nullif(n, 2) as position, 'r' as rule, null::int as rows_dropped,"
        " 1 as rows_before, 1 as rows_after, 1 as titles_before, 1 as titles_dropped,"
        " 'some' as titles_after from generate_series(1, 2) n"
    )
    with postgres.open_snapshot(build.examples, []) as snapshot:
        found = read_funnel(snapshot, build)
    assert found.vars == {}
    assert found.rules == [{"rule": "r", **counts}] * 2
    assert funnel_table(found.rules) == ""


def test_the_position_of_a_rule_may_be_any_number(
    build: Build, workspace: Workspace
) -> None:
    workspace.sql("drop table funnel")
    workspace.sql(
        "create table funnel as"
        " select n::numeric / 2 as position, 'r' || n as rule"
        " from unnest(array[3, 1, 2]) as n"
    )
    with postgres.open_snapshot(build.examples, []) as snapshot:
        rules = read_funnel(snapshot, build).rules
    assert [rule["rule"] for rule in rules] == ["r1", "r2", "r3"]


def test_a_number_in_the_table_may_be_any_number() -> None:
    rule = dict.fromkeys(_COUNTS, 2000) | {"rows_after": Decimal("1000.5")}
    assert "1,000.5" in funnel_table([{"rule": "r", **rule}])


def test_an_empty_funnel_is_refused(build: Build, workspace: Workspace) -> None:
    workspace.sql("truncate funnel")
    with (
        postgres.open_snapshot(build.examples, []) as snapshot,
        pytest.raises(FinetuneError, match=r"public\.funnel is empty; run dbt build$"),
    ):
        read_funnel(snapshot, build)


def samples_of(build: Build, *, limit: int) -> dict[str, list[dict[str, Any]]]:
    with postgres.open_snapshot(build.examples, []) as snapshot:
        funnel = Funnel(RULES, "now", "0", {})
        return dropped_samples(snapshot, build, funnel, limit=limit)


def test_samples_are_chosen_by_their_hash(build: Build) -> None:
    texts = [(uid, title, text) for uid, title, text, *_ in ROWS]
    short, [other, _] = by_hash(*texts[:3]), by_hash(texts[4], texts[6])
    found = samples_of(build, limit=2)
    assert [*found] == ["too_short", "title_repeated", "pair_distinct", "unlisted"]
    assert found == {
        "too_short": [shown(row) for row in short[:2]],
        "title_repeated": [shown(("4", "rare", LONG[:200]))],
        "pair_distinct": [shown(other) | {"first_uid": "6"}],
        "unlisted": [shown(("9", "lamp", "odd"))],
    }
    assert samples_of(build, limit=3)["too_short"] == [shown(row) for row in short]


def test_a_number_in_the_outcomes_is_not_cut(
    build: Build, workspace: Workspace
) -> None:
    workspace.sql("alter table outcomes add column price int default 5")
    [row] = samples_of(build, limit=1)["title_repeated"]
    assert row == shown(("4", "rare", LONG[:200])) | {"price": 5}


def test_samples_need_no_rule_in_the_funnel_and_no_text_in_dropped_by(
    build: Build, workspace: Workspace
) -> None:
    workspace.sql("alter table outcomes alter dropped_by type int using length(uid)")
    with postgres.open_snapshot(build.examples, []) as snapshot:
        funnel = Funnel([{"n": 5}], "now", "0", {})
        found = dropped_samples(snapshot, build, funnel, limit=20)
    assert {name: len(rows) for name, rows in found.items()} == {"1": len(ROWS)}


def test_outcomes_without_the_column_dropped_by_are_refused(
    build: Build, workspace: Workspace
) -> None:
    workspace.sql("alter table outcomes drop column dropped_by")
    with pytest.raises(FinetuneError, match=r"outcomes: .* has no column dropped_by; "):
        samples_of(build, limit=1)


def test_without_outcomes_lineage_or_a_limit_there_are_none(
    build: Build, workspace: Workspace
) -> None:
    assert samples_of(build, limit=0) == {}
    assert samples_of(build._replace(outcomes=None), limit=2) == {}
    workspace.sql("alter table examples drop column copies")
    assert "pair_distinct" not in samples_of(build, limit=2)


def test_the_table_has_a_line_per_rule_and_columns_of_one_width() -> None:
    counts = {"rows_before": 1000, "rows_dropped": 10, "rows_after": 990}
    titles = {"titles_before": 12, "titles_dropped": 0, "titles_after": 12}
    rules = [
        {"rule": "too\nshort", **counts, **titles},
        {"rule": "b", **counts, **titles, "condition": "n > 1"},
    ]
    assert funnel_table(rules) == (
        "rule         rows  dropped  left  titles  dropped  left\n"
        "too\\nshort  1,000       10   990      12        0    12\n"
        "b           1,000       10   990      12        0    12"
    )
    del rules[0]["titles_after"]
    assert funnel_table(rules) == ""
