"""A build is stale if the content of a file changed, not if a file is newer."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.workspace import DBT, MakeWorkspace, Workspace, edit

EXPOSURE = """
exposures:
  - name: support
    type: ml
    owner: {name: Support, email: support@example.com}
    depends_on: [ref('answers'), ref('given')]
    config:
      meta: {finetune: {examples: answers, id: n, user: q, assistant: a, funnel: given}}
"""


def no_profile(workspace: Workspace) -> None:
    new_test(workspace)
    workspace.environment["DBT_PROFILES_DIR"] = "absent"


def new_test(workspace: Workspace) -> None:
    (workspace.project / "tests/new.sql").write_text(
        "select title from {{ ref('training_pairs') }} where title = 'Teapot'"
    )


def other_prompt(workspace: Workspace) -> None:
    edit(
        workspace.project / "models/marts/training_pairs.yml",
        "You write product descriptions.",
        "You write descriptions.",
    )


def build_the_funnel_alone(workspace: Workspace) -> None:
    """Change a rule, and build only the funnel with its old counts."""
    rules = workspace.project / "macros/rules.sql"
    edit(rules, "title <> ''", "title not in ('', 'Okular')")
    workspace.dbt("build", "--select", "filter_funnel")
    workspace.dbt("test")


# What makes a build stale, and what the error names.
STALE: dict[str, tuple[Callable[[Workspace], object], str]] = {
    "a model": (
        lambda w: edit(
            w.project / "models/marts/training_pairs.sql", "'train'", "'training'"
        ),
        "(dbt_project/models/marts/training_pairs.sql): model training_pairs;",
    ),
    "a macro": (
        lambda w: edit(w.project / "macros/text.sql", "\\ufeff", "\\ufeff\\u180e"),
        "(dbt_project/macros/text.sql): model ",
    ),
    "a test in YAML": (
        lambda w: edit(
            w.project / "models/marts/training_pairs.yml",
            "config: {severity: warn}",
            "config: {severity: error}",
        ),
        "test training_pairs_split_has_the_share_asked_for",
    ),
    "the prompt": (other_prompt, "the data set product_descriptions"),
    "the name of the data set": (
        lambda w: edit(
            w.project / "models/marts/training_pairs.yml",
            "name: product_descriptions",
            "name: descriptions",
        ),
        "changed since the build: the data set product_descriptions is gone; run ",
    ),
    "a var": (
        lambda w: edit(
            w.project / "dbt_project.yml", "occurrences: 10", "occurrences: 9"
        ),
        "(dbt_project/dbt_project.yml): model ",
    ),
    "a new test": (new_test, "(dbt_project/tests/new.sql): test new"),
    "a removed file": (
        lambda w: (w.project / "models/marts/filter_funnel.sql").unlink(),
        "dbt cannot compile the project: Compilation Error ",
    ),
    "no profile": (
        no_profile,
        "dbt cannot compile the project: Invalid value for '--profiles-dir': ",
    ),
    "the target": (
        lambda w: w.environment.update(DBT_SCHEMA="elsewhere"),
        "finetune.training_pairs, which dbt now builds as elsewhere.training_pairs",
    ),
    "the database": (
        lambda w: w.environment.update(PGDATABASE="postgres"),
        "connected to database postgres, but dbt built in ",
    ),
    "the manifest": (
        lambda w: (w.project / "target/manifest.json").unlink(),
        "manifest.json: No such file",
    ),
    "half a manifest": (
        lambda w: (w.project / "target/manifest.json").write_text("{"),
        "manifest.json: not JSON",
    ),
    "the results": (
        lambda w: (w.project / "target/run_results.json").unlink(),
        "run_results.json: No such file",
    ),
    "other vars": (
        lambda w: w.dbt("test", "--vars", "{validation_percent: 20}"),
        "filter_funnel_was_built_with_the_rules_of_today: fail in dbt's last run",
    ),
    "no view": (
        lambda w: w.sql("drop view finetune.training_pairs"),
        'relation "finetune.training_pairs" does not exist',
    ),
    "a funnel over old counts": (
        build_the_funnel_alone,
        "filter_funnel_was_built_with_the_rules_of_today: fail in dbt's last run",
    ),
    "no funnel": (
        lambda w: w.sql("truncate finetune.filter_funnel"),
        "finetune.filter_funnel is empty",
    ),
}


@pytest.mark.parametrize("change", STALE)
def test_a_stale_build_is_refused(sample: Workspace, change: str) -> None:
    make_stale, named = STALE[change]
    make_stale(sample)
    done = sample.finetune("export")
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert named in last
    assert "dbt build" in last
    assert not (sample.folder / "files").exists()


def test_a_change_is_refused_even_if_another_dbt_command_has_read_it(
    sample: Workspace,
) -> None:
    edit(sample.project / "dbt_project.yml", "occurrences: 10", "occurrences: 9")
    for command, reason in [
        ("ls", "changed since the build: model "),
        ("test", "fail in dbt's last run"),
    ]:
        sample.dbt(command)
        done = sample.finetune("export")
        assert done.returncode == 1
        assert reason in done.stderr


def test_wrong_clocks_hide_no_change(sample: Workspace) -> None:
    """The times of the build are in the future, those of the change in the past."""
    target = sample.project / "target"
    for name in ("manifest.json", "run_results.json"):
        text = (target / name).read_text()
        (target / name).write_text(re.sub(r"\b2\d{3}-(?=\d\d-\d\dT)", "2999-", text))
    for path in target.rglob("*"):
        os.utime(path, (32e9, 32e9))
    model = sample.project / "models/marts/training_pairs.sql"
    edit(model, "'train'", "'training'")
    os.utime(model, (1e9, 1e9))
    done = sample.finetune("export")
    assert done.returncode == 1
    assert "model training_pairs; run dbt build" in done.stderr


def test_what_changes_no_content_makes_no_build_stale(sample: Workspace) -> None:
    """Commands that do not build, other target folders, new times, another folder."""
    sample.dbt("ls")
    sample.export()
    sample.dbt("docs", "generate")
    sample.export()
    (sample.project / "models/unrelated.sql").write_text("select nothing")
    assert sample.dbt("build").returncode == 1
    sample.export()
    shutil.copytree(sample.project / "target", sample.project / "target_qa")
    elsewhere = sample.folder / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(sample.project, elsewhere / "project")
    shutil.copy(sample.folder / "profiles.yml", elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (32e9, 32e9))
    command = [sys.executable, "-m", "exporter", "export", "--project-dir", "project"]
    done = subprocess.run(
        command,
        check=False,
        cwd=elsewhere,
        env=sample.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_model_that_dbt_does_not_rebuild_is_stale_after_a_change(
    make_workspace: MakeWorkspace,
) -> None:
    """dbt refreshes a materialized view, and adds rows to an incremental model."""
    workspace = make_workspace()
    workspace.project = workspace.folder / "shop"
    models = workspace.project / "models"
    models.mkdir(parents=True)
    (workspace.project / "dbt_project.yml").write_text(
        "name: shop\nprofile: finetune\n"
    )
    select = """
select n, 'Question ' || n as q from generate_series(1, 20) as n
{% if is_incremental() %} where false {% endif %}
"""
    for name, kind, sql in [
        ("given", "incremental", select),
        ("answers", "materialized_view", "select n, q, q as a from {{ ref('given') }}"),
    ]:
        config = f"{{{{ config(materialized='{kind}') }}}}"
        (models / f"{name}.sql").write_text(f"{config}\n{sql}\n")
    (models / "shop.yml").write_text(EXPOSURE)
    shop = ("--project-dir", "shop")
    workspace.export(*shop, "--build")
    edit(models / "answers.sql", "q as a", "upper(q) as a")
    built = workspace.run([DBT, "build", *shop])
    assert built.returncode == 0, built.stdout
    refused = workspace.finetune("export", *shop)
    assert refused.returncode == 1
    assert "model answers, which needs the config full_refresh: true; run dbt" in (
        refused.stderr
    )
    edit(models / "answers.sql", "_view'", "_view', full_refresh=true")
    for _ in range(2):
        files = workspace.export(*shop, "--build")
    assert "QUESTION 20" in (files / "train.jsonl").read_text()
    edit(models / "given.sql", "1, 20", "1, 21")
    refused = workspace.finetune("export", *shop)
    assert refused.returncode == 1
    assert "given.sql): model given;" in refused.stderr
