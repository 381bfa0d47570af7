"""Projects that use more of dbt 1.11: functions, versions, schemas of their own."""

from dataclasses import replace

import pytest

from tests.workspace import DBT, MakeWorkspace, Workspace, edit

PROJECT = {
    "dbt_project.yml": "name: shop\nprofile: finetune\n",
    "macros/schemas.sql": """
{% macro generate_schema_name(custom_schema_name, node) %}
{{ custom_schema_name or target.schema ~ '_' ~ node.resource_type }}
{% endmacro %}
""",
    "functions/spelled.sql": "select 'Question '\n  || $1",
    "functions/shop.yml": """
functions:
  - name: spelled
    arguments: [{name: n, data_type: integer}]
    returns: {data_type: text}
""",
    "models/numbers.sql": "select n from generate_series(1, 12) as n",
    "models/answers_v1.sql": "select 0 as n, '' as q, '' as a",
    "models/answers_v2.sql": """
{{ config(schema='finetune_marts') }}
select n, {{ function('spelled') }}(n) as q, 'Answer' as a from {{ ref('numbers') }}
""",
    "models/absent.sql": """
{{ config(materialized='ephemeral') }}
select * from {{ ref('answers') }}
""",
    "models/shop.yml": """
models:
  - name: answers
    latest_version: 2
    versions: [{v: 1}, {v: 2}]
    columns: [{name: n, data_tests: [unique]}]
exposures:
""",
}
EXPOSURE = """
  - name: {name}
    type: ml
    owner: {{name: Support, email: support@example.com}}
    depends_on: {parents}
    config: {{meta: {{finetune: {{examples: {model}, id: n, user: q, assistant: a}}}}}}
"""


@pytest.fixture(scope="module")
def shop(make_workspace: MakeWorkspace) -> Workspace:
    workspace = make_workspace()
    workspace.project = workspace.folder / "shop"
    files = dict(PROJECT)
    for name, model, parents in [
        ("latest", "answers", ["ref('answers')"]),
        ("both", "answers", ["ref('answers')", "ref('answers', v=1)"]),
        ("inlined", "absent", ["ref('absent')"]),
    ]:
        files["models/shop.yml"] += EXPOSURE.format(
            name=name, model=model, parents=parents
        )
    for path, text in files.items():
        (workspace.project / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace.project / path).write_text(text.lstrip("\n"))
    workspace.environment["DBT_SCHEMA"] = "dev"
    dbt(workspace, "build")
    return workspace


def dbt(workspace: Workspace, *arguments: str) -> None:
    done = workspace.run([DBT, *arguments, "--project-dir", "shop"])
    assert done.returncode == 0, done.stdout


def refusal(workspace: Workspace, name: str) -> str:
    done = workspace.finetune("export", name, "--project-dir", "shop")
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()[-1]


def test_a_model_that_uses_a_function_is_exported_from_a_schema_of_its_own(
    shop: Workspace,
) -> None:
    files = shop.export("latest", "--project-dir", "shop")
    assert '"Question 12"' in (files / "latest/train.jsonl").read_text()
    other = replace(shop, environment=shop.environment | {"DBT_SCHEMA": "prod"})
    other.project = shop.project
    assert "changed since the build: model answers; run" in refusal(other, "latest")


def test_a_model_that_cannot_be_exported_is_an_error_with_its_key(
    shop: Workspace,
) -> None:
    assert "both.config.meta.finetune.examples: 2 models named answers in" in refusal(
        shop, "both"
    )
    assert (
        "inlined.config.meta.finetune.examples: dbt creates no relation for an "
        "ephemeral model; make it a view"
    ) in refusal(shop, "inlined")


def test_a_changed_function_makes_the_build_stale(shop: Workspace) -> None:
    edit(shop.project / "functions/spelled.sql", "Question", "What is")
    assert "spelled.sql): function spelled; run" in refusal(shop, "latest")
    dbt(shop, "ls")
    assert "changed since the build: function spelled; run" in refusal(shop, "latest")


def test_a_build_that_leaves_rows_out_is_refused(shop: Workspace) -> None:
    dbt(shop, "build")
    shop.export("latest", "--project-dir", "shop")
    for command in ("build", "compile"):
        dbt(shop, command, "--empty")
        assert "the option --empty, which leaves rows out; run" in refusal(
            shop, "latest"
        )
