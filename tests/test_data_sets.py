"""Data sets: any number of exposures in any dbt project, with any model and columns."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.workspace import DBT, MakeWorkspace, Workspace, json_lines

PROJECT = {
    "dbt_project.yml": """
name: shop
version: "1.0"
profile: finetune
flags: {send_anonymous_usage_stats: false}
""",
    "models/answers.sql": """
select
    n as answer_id,
    'Question ' || n as question,
    'Answer ' || n as answer,
    case when n > 1 then 'Tone ' || n % 2 end as tone,
    case when n % 5 = 0 then 'validation' else 'train' end as side,
    n * 1.50 as price,
    n % 2 = 0 as is_even,
    date '2026-01-01' + n as day,
    timestamptz '2026-01-01 12:00:00+02' as at,
    json_build_object('b', n, 'a', U&'\\2028') as facts,
    cast(null as numeric) as nothing
from generate_series(1, 12) as n
""",
    "models/answers_stored.sql": """
{{ config(materialized='table') }}
select 'a%b' || question as "key %", question, answer
from {{ ref('answers') }}
""",
    "models/shop.yml": """
models:
  - name: answers
    columns:
      - name: answer_id
        data_tests: [unique, not_null]
  - name: answers_stored
    columns:
      - name: question
        data_tests: [unique]
exposures:
  - name: support
    type: ml
    owner: {name: Support, email: support@example.com}
    depends_on: [ref('answers')]
    config:
      meta:
        finetune:
          examples: answers
          id: answer_id
          user: question
          assistant: answer
          system: tone
          split: side
  - name: stored
    type: ml
    owner: {name: Support, email: support@example.com}
    depends_on: [ref('answers_stored')]
    config:
      meta:
        finetune:
          examples: answers_stored
          id: "key %"
          user: question
          assistant: answer
          system_prompt: |
            100 % polite.
  - name: dashboard
    type: dashboard
    owner: {name: Support, email: support@example.com}
    depends_on: [ref('answers')]
""",
}


@pytest.fixture(scope="module")
def shop(make_workspace: MakeWorkspace) -> Workspace:
    """Return a built project without any of our models."""
    workspace = make_workspace()
    project = workspace.folder / "shop"
    for name, text in PROJECT.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text.lstrip("\n"))
    workspace.project = project
    built = workspace.run([DBT, "build", "--project-dir", "shop"])
    assert built.returncode == 0, built.stdout
    return workspace


def export(workspace: Workspace, *arguments: str) -> tuple[int, str, str]:
    done = workspace.finetune("export", "--project-dir", "shop", *arguments)
    return done.returncode, done.stdout, done.stderr


def manifest(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return document


def test_columns_of_every_kind_reach_the_clean_file(shop: Workspace) -> None:
    assert export(shop, "support")[0] == 0
    folder = shop.folder / "files" / "support"
    lines = (folder / "clean.jsonl").read_bytes().splitlines(keepends=True)
    assert lines[0] == (
        b'{"answer_id":1,"question":"Question 1","answer":"Answer 1","tone":null,'
        b'"side":"train","price":1.50,"is_even":false,"day":"2026-01-02",'
        b'"at":"2026-01-01T10:00:00+00:00","facts":{"a": "\\u2028", "b": 1},'
        b'"nothing":null}\n'
    )
    # By code point, even if the id is a number.
    ids = [row["answer_id"] for row in json_lines(folder / "clean.jsonl")]
    assert ids == [1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_row_has_the_system_message_of_its_own_column(shop: Workspace) -> None:
    assert export(shop, "support")[0] == 0
    folder = shop.folder / "files" / "support"
    first, second, *_ = json_lines(folder / "train.jsonl")
    assert [m["role"] for m in first["messages"]] == ["user", "assistant"]
    assert second["messages"][0] == {"role": "system", "content": "Tone 1"}
    assert len(json_lines(folder / "valid.jsonl")) == 2
    assert manifest(folder)["system_prompt"] is None
    for options, prompt in (["--system-prompt", "x"], "x"), (["--no-system"], None):
        assert export(shop, "support", "-o", "other", *options)[0] == 0
        assert manifest(shop.folder / "other")["system_prompt"] == prompt
        roles = {
            message["role"]: message["content"]
            for line in json_lines(shop.folder / "other/train.jsonl")
            for message in line["messages"]
        }
        assert roles.get("system") == prompt


def test_each_data_set_has_its_own_tests_prompt_and_folder(shop: Workspace) -> None:
    code, out, talk = export(shop, "stored")
    assert code == 0, talk
    assert out.splitlines()[0] == "files/stored/clean.jsonl"
    document = manifest(shop.folder / "files" / "stored")
    tests = [test["name"] for test in document["gate"]["tests"]]
    assert tests == ["unique_answers_stored_question"]
    assert document["system_prompt"] == "100 % polite."
    assert document["data_set"] == {
        "name": "stored",
        "id": "key %",
        "user": "question",
        "assistant": "answer",
        "system": None,
        "split": None,
    }
    assert document["funnel"] == []
    [line, *_] = json_lines(shop.folder / "files/stored/train.jsonl")
    assert [m["content"] for m in line["messages"]] == [
        "100 % polite.",
        "Question 1",
        "Answer 1",
    ]
    [row, *_] = json_lines(shop.folder / "files/stored/clean.jsonl")
    assert list(row) == ["key %", "question", "answer"]


@pytest.mark.parametrize("options", [[], ["--build"]])
def test_a_folder_without_a_project_is_named(
    shop: Workspace, tmp_path: Path, options: list[str]
) -> None:
    done = replace(shop, folder=tmp_path).finetune("export", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "finetune: dbt_project/dbt_project.yml: no such file; cd to the folder that "
        "has it, name your project with --project-dir DIR, or create one with finetune "
        "init DIR\n"
    )


def test_the_project_of_a_folder_with_a_profile_is_not_entered(shop: Workspace) -> None:
    profile = shop.folder / "profiles.yml"
    profile.rename(shop.project / "profiles.yml")
    inside = replace(shop, folder=shop.project)
    try:
        assert inside.finetune("export", "support").returncode == 0
    finally:
        (shop.project / "profiles.yml").rename(profile)
    refused = inside.finetune("export", "support")
    assert refused.returncode == 1
    assert "dbt_project/dbt_project.yml: no such file" in refused.stderr


def test_a_data_set_without_tests_is_no_tested_one(shop: Workspace) -> None:
    model = shop.project / "models/shop.yml"
    text = model.read_text()
    untested = text.replace("        data_tests: [unique]\n", "")
    assert untested != text
    model.write_text(untested)
    try:
        built = shop.run([DBT, "build", "--project-dir", "shop"])
        assert built.returncode == 0, built.stdout
        code, _, stderr = export(shop, "stored")
        assert code == 0
        assert "warning: no data test is attached to finetune.answers_stored" in stderr
        assert "none failed" not in stderr
        done = shop.finetune("report", "-o", "files/stored", "--project-dir", "shop")
        assert done.returncode == 0, done.stderr
        page = (shop.folder / "files/stored/report.html").read_text()
        assert "The rows were not tested" in page
    finally:
        model.write_text(text)
        shop.run([DBT, "build", "--project-dir", "shop"])


def test_an_export_beside_those_of_several_data_sets_is_a_warning(
    shop: Workspace,
) -> None:
    warning = "warning: files has an export from before the project had several data"
    assert warning not in export(shop, "support")[2]
    export(shop, "support", "-o", "files")
    jobs = shop.folder / "files/jobs.jsonl"
    jobs.touch()
    [line] = [t for t in export(shop, "support")[2].splitlines() if warning in t]
    remedy = line.partition("remove it: ")[2]
    subprocess.run(["sh", "-c", remedy], cwd=shop.folder, check=True)
    assert [path for path in jobs.parent.iterdir() if path.is_file()] == [jobs]
    assert warning not in export(shop, "support")[2]


def test_without_a_name_several_data_sets_are_listed(shop: Workspace) -> None:
    code, out, talk = export(shop)
    assert (code, out) == (2, "")
    assert "the project has several data sets; name one: stored, support" in talk
    code, out, talk = export(shop, "dashboard")
    assert (code, out) == (2, "")
    assert "no data set dashboard; the project has stored, support" in talk


def test_a_row_that_cannot_be_an_example_is_named(shop: Workspace) -> None:
    table = "finetune.answers_stored"
    for change, reason in [
        ("answer = ''", "assistant: answer of 'a%bQuestion 1' is empty; filter such"),
        ("question = null", "user: question of 'a%bQuestion 1' is empty"),
        ("\"key %\" = 'a%bQuestion 2'", "id: 'a%bQuestion 2' is the id of two rows"),
        ('"key %" = null', "id: a row has no key %"),
    ]:
        shop.sql(f"create table kept as table {table}")
        shop.sql(f"update {table} set {change} where question = 'Question 1'")
        code, out, talk = export(shop, "stored", "--no-gate", "-o", "refused")
        shop.sql(f"truncate {table}; insert into {table} table kept; drop table kept")
        assert (code, out) == (1, "")
        assert f"exposures.stored.config.meta.finetune.{reason}" in talk
        assert [*(shop.folder / "refused").iterdir()] == []


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no such column": (
        lambda keys: keys.update(user="title"),
        "user: finetune.answers has no column title; it has answer_id, question,",
    ),
    "no text": (
        lambda keys: keys.update(assistant="price"),
        "assistant: column price of finetune.answers is not text; cast it to text",
    ),
    "an id of no order": (
        lambda keys: keys.update(id="price"),
        "id: column price of finetune.answers is not text",
    ),
    "a side of its own": (
        lambda keys: keys.update(split="question"),
        "split: question of '1' is 'Question 1', but must be train or validation",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_declaration_is_one_line_with_its_path_in_yaml(
    shop: Workspace, wrong: str
) -> None:
    change, reason = WRONG[wrong]
    path = shop.project / "target" / "manifest.json"
    before = path.read_text()
    document = json.loads(before)
    change(document["exposures"]["exposure.shop.support"]["config"]["meta"]["finetune"])
    try:
        path.write_text(json.dumps(document))
        code, out, talk = export(shop, "support", "--no-gate", "-o", "wrong")
    finally:
        path.write_text(before)
    assert (code, out) == (1, "")
    [line] = [text for text in talk.splitlines() if text.startswith("finetune: ")]
    assert "models/shop.yml: exposures.support.config.meta.finetune" in line
    assert reason in line


def test_a_column_of_an_unsupported_type_is_refused_by_name(
    shop: Workspace,
) -> None:
    shop.sql("create type mood as enum ('good')")
    shop.sql("alter table finetune.answers_stored add column mood mood")
    code, _, talk = export(shop, "stored", "-o", "refused")
    shop.sql("alter table finetune.answers_stored drop column mood")
    assert code == 1
    assert "finetune.answers_stored: column mood is of type mood, which cannot" in talk


def test_without_a_data_set_the_error_shows_how_to_declare_one(
    shop: Workspace,
) -> None:
    path = shop.project / "target" / "manifest.json"
    before = path.read_text()
    try:
        path.write_text(json.dumps({**json.loads(before), "exposures": {}}))
        code, _, talk = export(shop)
    finally:
        path.write_text(before)
    assert code == 1
    assert "declare a data set as docs/datasets.md shows and run dbt build" in talk
