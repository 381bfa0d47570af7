"""The export keeps the same pairs as an independent program, on every data set."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.engines import embedded
from tests import oracle
from tests.rows import DATA_SETS, SAMPLE, each, read
from tests.workspace import (
    SHARED_DATA,
    MakeWorkspace,
    Workspace,
    json_lines,
    open_folder,
)

# The query of the script that this project replaces.
OLD_QUERY = """
    select distinct title, content
    from product
    where
        length(content) > 10 and length(title) > 0 and trim(content) <> ''
        and title in (
            select title from product
            where
                length(content) > 10 and length(title) > 0
                and trim(content) <> ''
            group by title having count(*) >= 10
        )
"""


@each(DATA_SETS)
def test_the_pairs_and_the_funnel_are_those_of_the_oracle(
    path: Path, workspace: Workspace
) -> None:
    rows = read(path)
    assert workspace.finetune("load", path).returncode == 0
    workspace.build(unit_tests=path == SAMPLE)
    files = workspace.export()
    expected = oracle.training_pairs(rows)
    assert json_lines(files / "clean.jsonl") == expected
    prompt = json.loads((files / "manifest.json").read_bytes())["system_prompt"]
    assert json_lines(files / "train.jsonl") == [
        {
            "messages": [
                {"role": "system", "content": prompt},
                {"role": "user", "content": pair["title"]},
                {"role": "assistant", "content": pair["description"]},
            ]
        }
        for pair in expected
    ]
    assert workspace.sql(
        "select rule, rows_before, rows_after, titles_before, titles_after"
        " from finetune.filter_funnel order by position"
    ) == oracle.funnel(rows)
    assert outcomes(workspace) == sort(oracle.outcomes(rows))


Outcome = tuple[str | None, str | None, str | None]


def outcomes(workspace: Workspace) -> list[Outcome]:
    """Return the outcome of each raw row, sorted."""
    found = workspace.sql(
        "select uid, dropped_by, pair_id from finetune.product_outcomes"
    )
    return sort((uid, dropped_by, pair_id) for uid, dropped_by, pair_id in found)


def sort(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda row: [value or "" for value in row])


# Validation pairs at 10 %, and how many pairs the last rule drops.
AT_TEN_PERCENT = {"wordnet31": (871, 292), "appstream_cc0": (533, 4)}


@each([path for path in DATA_SETS if path.stem.split(".")[0] in AT_TEN_PERCENT])
def test_no_validation_answer_is_in_training(path: Path, workspace: Workspace) -> None:
    rows = read(path)
    workspace.insert(rows)
    workspace.build("--vars", "{validation_percent: 10}")
    files = workspace.export()
    pairs = json_lines(files / "clean.jsonl")
    assert pairs == oracle.training_pairs(rows, validation_percent=10)
    train, validation = (
        [pair["description"] for pair in pairs if pair["split"] == split]
        for split in ("train", "validation")
    )
    assert not {*train} & {*validation}
    funnel = workspace.sql(
        "select rule, rows_before, rows_after, titles_before, titles_after"
        " from finetune.filter_funnel order by position"
    )
    assert funnel == oracle.funnel(rows, validation_percent=10)
    assert outcomes(workspace) == sort(oracle.outcomes(rows, validation_percent=10))
    dropped = funnel[-1][1] - funnel[-1][2]
    expected = AT_TEN_PERCENT[path.stem.split(".")[0]]
    assert (len(validation), dropped) == expected


@each(DATA_SETS)
def test_without_outer_blanks_the_oracle_keeps_what_the_old_query_kept(
    path: Path, workspace: Workspace
) -> None:
    rows = [
        row
        for row in read(path)
        if all(text is None or oracle.trimmed(text) == text for text in row[1:])
    ]
    workspace.insert(rows)
    expected = oracle.training_pairs(rows)
    assert sorted(workspace.sql(OLD_QUERY)) == sorted(
        (pair["title"], pair["description"]) for pair in expected
    )


TITLES = st.sampled_from(
    ["lamp", "Lamp", " lamp", "lamp\u2003", "", "\u200b", "a\u00a0b"]
)
CONTENTS = st.one_of(
    st.none(),
    st.sampled_from(
        ["ten chars.", "eleven char", "\ufeffeleven char\u3000", "x" * 120]
    ),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30
    ),
    st.text("ab \t\u2028\u200d", max_size=14).map(lambda text: " " * 101 + text),
)
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from(["b", "B", "é", "10", "9"])),
        st.one_of(st.none(), TITLES, st.text("ab ", max_size=2)),
        CONTENTS,
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def few_needed(make_workspace: MakeWorkspace) -> Workspace:
    """Return a project that keeps titles with two rows and validates half of them."""
    workspace = make_workspace()
    workspace.insert([])
    workspace.build("--vars", "{min_title_occurrences: 2, validation_percent: 40}")
    return workspace


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=ROWS)
def test_generated_rows_give_the_pairs_of_the_oracle(
    few_needed: Workspace, rows: list[oracle.Row]
) -> None:
    manifest = json.loads((few_needed.project / "target/manifest.json").read_bytes())
    columns = "pair_id, title, description, split, title_occurrences, copies, first_uid"
    # Run the tables' own SQL again, so that the views on them show what a build would.
    with few_needed.connect() as connection, connection.transaction():
        connection.execute("truncate product")
        with connection.cursor().copy("copy product from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        for name in ("titles_judged", "pairs_deduplicated", "answers_seen"):
            node = manifest["nodes"][f"model.finetune.int_finetune__{name}"]
            for statement in (
                f"truncate {node['relation_name']}",
                f"insert into {node['relation_name']} {node['compiled_code']}",
            ):
                connection.execute(statement.encode())
        found = connection.execute(
            f"select {columns} from finetune.training_pairs order by pair_id".encode()
        ).fetchall()
    expected = oracle.training_pairs(rows, at_least=2, validation_percent=40)
    assert found == [tuple(pair.values()) for pair in expected]
    assert outcomes(few_needed) == sort(
        oracle.outcomes(rows, at_least=2, validation_percent=40)
    )


@pytest.fixture
def other_server(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[dict[str, str], str]]:
    """Yield another server, an older one if installed, and an unusual collation."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    # 10 comes after 9, and b before C.
    locale = (
        "locale_provider icu icu_locale 'en-US-u-kn-true-kf-lower' locale 'C.UTF-8'"
    )
    if installed and int(installed[-1].parent.name) >= 15:
        monkeypatch.setenv("PG_BINDIR", str(installed[-1]))
    else:
        locale = "locale 'C.UTF-8'"
    with open_folder() as folder, embedded.serving(folder / "o") as variables:
        yield variables, f"template template0 {locale}"


def test_another_server_and_collation_give_the_same_bytes(
    workspace: Workspace,
    other_server: tuple[dict[str, str], str],
    make_workspace: MakeWorkspace,
) -> None:
    edges = SHARED_DATA / "edge_synthetic.jsonl.gz"
    variables, create_options = other_server
    there = make_workspace(variables, create_options)
    written = []
    for place in (workspace, there):
        loaded = place.finetune("load", edges if edges.exists() else SAMPLE)
        assert loaded.returncode == 0, loaded.stderr
        place.build("--vars", "{validation_percent: 20}")
        files = place.export()
        written.append(
            {
                name: (files / name).read_bytes()
                for name in ("clean.jsonl", "train.jsonl", "valid.jsonl")
            }
        )
    assert written[0] == written[1]
    versions = {place.sql("show server_version")[0] for place in (workspace, there)}
    collations = {
        place.sql("select 'B' < 'a', '10' < '9'")[0] for place in (workspace, there)
    }
    assert len(versions) == 2 or "PG_BINDIR" not in os.environ
    assert len(collations) == 2 or "PG_BINDIR" not in os.environ
