"""Hostile texts, names and prompts come out as they went in: text is never code."""

import io
import json
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas  # type: ignore[import-untyped]
import pyarrow.json  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import oracle
from tests.workspace import MakeWorkspace, Workspace, json_lines

# What PostgreSQL and JSON can hold: all but NUL and the halves of pairs.
EVERY = [
    chr(point) for point in range(1, sys.maxunicode + 1) if not 0xD800 <= point < 0xE000
]

# What means something to SQL, COPY, printf, Jinja, YAML, dbt, shells or terminals.
CODE = [
    "{{ 7 * 7 }}",
    "{% raw %}{{ var('raw_table') }}",
    "{# gone #}",
    "${HOME} $(id) `id`",
    "%s %(title)s %% %d",
    "{} {0} {title!r}",
    "'; drop table product; --",
    '"; drop table product; --',
    "$$ || pg_sleep(9) || $$",
    "\\N",
    "\\.",
    "null",
    "=1+1",
    "\\u0041\\x41\\101",
    "<script>alert(1)</script>",
    "a\x1b[2J\x07b",
    "a\u202eb\u2066c",
    "\ufeffa\ufeffb\ufeff.",
    "a\rb\nc\r\nd\u2028e\u2029f\x85g\x0bh\x0ci\x1cj",
    "&amp;#0;",
    "#",
    "---",
]


def write_rows(path: Path, rows: Iterable[oracle.Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            value = dict(zip(("uid", "title", "content"), row, strict=True))
            # As they are in one half, as escapes in the other.
            file.write(json.dumps(value, ensure_ascii=len(row[2] or "") % 2 == 0))
            file.write("\n")


def read_by_all(path: Path) -> list[list[Any]]:
    """Return what three readers that are not ours make of a file of messages."""
    with path.open("rb") as file:
        # Its own reader takes an LF alone for the end of a line.
        by_json = [json.loads(line)["messages"] for line in file]
    # Hugging Face's datasets reads by this, NVIDIA's and AWS's tools by the next.
    by_arrow = pyarrow.json.read_json(
        path, read_options=pyarrow.json.ReadOptions(block_size=1 << 26)
    )
    by_pandas = pandas.read_json(
        io.BytesIO(path.read_bytes()), lines=True, dtype=False, convert_dates=False
    )
    arrow: list[list[Any]] = by_arrow["messages"].to_pylist()
    return [by_json, arrow, by_pandas["messages"].to_list()]


def messages(pairs: list[dict[str, Any]], prompt: str | None) -> list[list[Any]]:
    """Return the messages that the training file is to hold."""
    system = [] if prompt is None else [{"role": "system", "content": prompt}]
    return [
        [
            *system,
            {"role": "user", "content": pair["title"]},
            {"role": "assistant", "content": pair["description"]},
        ]
        for pair in pairs
    ]


def compare(
    workspace: Workspace, rows: list[oracle.Row], *options: str, **rules: int
) -> None:
    """Export and compare every file with the oracle, through every reader."""
    done = workspace.finetune("export", "--no-system", *options)
    assert done.returncode == 0, done.stderr
    files = workspace.folder / "files"
    pairs = oracle.training_pairs(rows, **rules)
    assert json_lines(files / "clean.jsonl") == pairs
    for found in read_by_all(files / "train.jsonl"):
        assert found == messages(pairs, None)
    checked = workspace.finetune("check", "--json")
    findings = [json.loads(line) for line in checked.stdout.splitlines()]
    assert [f for f in findings if f["rule"] in ("json", "utf-8", "manifest")] == []


def test_every_character_of_every_plane_comes_out_as_it_went_in(
    workspace: Workspace,
) -> None:
    """A row a hundred characters; a title of the first character of each block."""
    rows: list[oracle.Row] = []
    for start in range(0, len(EVERY), 400):
        block = [*EVERY[start : start + 400], *EVERY[:400]][:400]
        text = "".join(block)
        # Several descriptions a title, so that it is repeated often enough.
        title = f"{text[:20]} {start}"
        rows += [
            (f"{start}-{n}", title, f"{n}{text[n * 40 : n * 40 + 40]}.......")
            for n in range(10)
        ]
    path = workspace.folder / "rows.jsonl"
    write_rows(path, rows)
    loaded = workspace.finetune("load", path)
    assert loaded.returncode == 0, loaded.stderr
    assert f"{len(rows):,} rows loaded" in loaded.stderr
    workspace.build()
    compare(workspace, rows)
    held = {c for pair in oracle.training_pairs(rows) for c in pair["description"]}
    assert len(EVERY) == 1_112_063
    # Blanks at an end are trimmed; nothing else is missing.
    assert {*EVERY} - held <= oracle.BLANKS


@pytest.fixture(scope="module")
def often(make_workspace: MakeWorkspace) -> Workspace:
    """Return a project whose rules keep a title that stands there once."""
    workspace = make_workspace()
    workspace.insert([(None, "lamp", "a bright lamp, 1")])
    workspace.build("--vars", "{min_title_occurrences: 1}")
    return workspace


TEXTS = st.one_of(
    st.sampled_from(CODE),
    st.lists(
        st.one_of(
            st.sampled_from(CODE),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        ),
        min_size=1,
        max_size=4,
    ).map("".join),
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.none(), TEXTS, TEXTS), min_size=5, max_size=60))
def test_what_is_code_elsewhere_is_text_here(
    often: Workspace, rows: list[oracle.Row]
) -> None:
    rows = [*rows, *((None, code, f"{code} {code} ...........") for code in CODE)]
    path = often.folder / "rows.jsonl"
    write_rows(path, rows)
    loaded = often.finetune("load", path, "--replace")
    assert loaded.returncode == 0, loaded.stderr
    manifest = json.loads((often.project / "target/manifest.json").read_bytes())
    # The stored tables are filled anew by their own SQL, as a build would.
    for name in ("titles_judged", "pairs_deduplicated", "answers_seen"):
        node = manifest["nodes"][f"model.finetune.int_finetune__{name}"]
        often.sql(f"truncate {node['relation_name']}")
        often.sql(f"insert into {node['relation_name']} {node['compiled_code']}")
    compare(often, rows, "--no-gate", at_least=1)


NAMES = [
    ("Raw o'Table 100% {0}", "%(Uid)s $1", "The 'Title'; --", "CONTENT\u2003{}ü🏷"),
    ("select", "table", "order", "user"),
]


@pytest.mark.parametrize("names", NAMES, ids=lambda names: names[0])
def test_names_of_any_kind_are_names_and_never_code(
    workspace: Workspace, names: tuple[str, str, str, str]
) -> None:
    table, uid, title, content = names
    path = workspace.project / "dbt_project.yml"
    project = yaml.safe_load(path.read_text(encoding="utf-8"))
    chosen = {"raw_table": table, "id_column": uid}
    chosen |= {"title_column": title, "content_column": content}
    project["vars"].update(chosen)
    path.write_text(yaml.safe_dump(project, allow_unicode=True), encoding="utf-8")
    rows: list[oracle.Row] = [
        (f"{n}", "lamp", f"a bright lamp, {n}") for n in range(12)
    ]
    with (workspace.folder / "rows.jsonl").open("w") as file:
        for row in rows:
            file.write(json.dumps(dict(zip(names[1:], row, strict=True))) + "\n")
    loaded = workspace.finetune("load", "rows.jsonl")
    assert loaded.returncode == 0, loaded.stderr
    workspace.build()
    compare(workspace, rows)


@pytest.mark.parametrize(
    "name", ["{{ 7 * 7 }}", "{% raw %}", "{# none #}", 'a "quoted" name']
)
def test_a_var_that_dbt_would_take_for_code_is_refused(
    workspace: Workspace, name: str
) -> None:
    path = workspace.project / "dbt_project.yml"
    project = yaml.safe_load(path.read_text(encoding="utf-8"))
    project["vars"]["title_column"] = name
    path.write_text(yaml.safe_dump(project), encoding="utf-8")
    (workspace.folder / "rows.jsonl").write_text("{}")
    done = workspace.finetune("load", "rows.jsonl")
    assert done.returncode == 1
    assert f"dbt cannot use the name {name!r}" in done.stderr
    # Names in the options are only for load, and may have any characters.
    (workspace.folder / "rows.jsonl").write_text(
        json.dumps({"uid": "1", name: "lamp", "content": "bright"})
    )
    names = ("--table", name, "--id", "uid", "--title", name, "--content", "content")
    done = workspace.finetune("load", "rows.jsonl", *names)
    assert done.returncode == 0, done.stderr
    quoted = name.replace('"', '""')
    assert workspace.sql(f'select "{quoted}" from "{quoted}"') == [("lamp",)]


def test_a_prompt_of_every_character_is_written_as_it_is(often: Workspace) -> None:
    prompt = "a" + "".join(EVERY) + "".join(CODE) + "z"
    # Line ends are characters like others.
    (often.folder / "prompt").write_bytes(prompt.encode())
    done = often.finetune("export", "--no-gate", "--system-prompt-file", "prompt")
    assert done.returncode == 0, done.stderr
    for line in json_lines(often.folder / "files/train.jsonl")[:2]:
        assert line["messages"][0] == {"role": "system", "content": prompt}
    manifest = json.loads((often.folder / "files/manifest.json").read_bytes())
    assert manifest["system_prompt"] == prompt


@pytest.mark.parametrize("code", CODE)
def test_a_prompt_that_is_code_elsewhere_is_text_here(
    often: Workspace, code: str
) -> None:
    done = often.finetune("export", "--no-gate", "--system-prompt", code)
    assert done.returncode == 0, done.stderr
    line = json_lines(often.folder / "files/train.jsonl")[0]
    assert line["messages"][0]["content"] == code


def test_the_planes_are_all_there() -> None:
    planes = {ord(character) >> 16 for character in EVERY}
    assert planes == {*range(17)}
    assert {unicodedata.category(c) for c in EVERY} >= {"Cc", "Cf", "Cn", "Co", "Zs"}
