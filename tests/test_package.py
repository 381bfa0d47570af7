"""The dbt project as a package of another project: same rows, same bytes."""

import json
import shutil

from tests.workspace import DBT, REPOSITORY, MakeWorkspace, Workspace


def test_a_project_with_our_package_exports_the_bytes_of_the_clone(
    make_workspace: MakeWorkspace, built_sample: Workspace
) -> None:
    workspace = make_workspace()
    root = workspace.folder / "integration_tests"
    shutil.copytree(
        REPOSITORY / "integration_tests",
        root,
        ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"),
    )
    loaded = workspace.finetune("load", REPOSITORY / "examples" / "products.csv")
    assert loaded.returncode == 0, loaded.stderr
    for command in ("deps", "build"):
        done = workspace.run([DBT, command, "--project-dir", "integration_tests"])
        assert done.returncode == 0, done.stdout
    exported = workspace.finetune("export", "--project-dir", "integration_tests")
    assert exported.returncode == 0, exported.stderr
    of_the_clone = built_sample.finetune("export", "-o", "beside")
    assert of_the_clone.returncode == 0, of_the_clone.stderr
    for name in ("clean.jsonl", "train.jsonl"):
        ours = (workspace.folder / "files" / name).read_bytes()
        assert ours == (built_sample.folder / "beside" / name).read_bytes()
    document = json.loads((workspace.folder / "files/manifest.json").read_bytes())
    conditions = {rule["rule"]: rule["condition"] for rule in document["funnel"]}
    assert conditions["title_repeated"] == "count(*) >= 10"
    # The staging models of the package and of the shop are in one schema.
    views = workspace.sql(
        "select table_name from information_schema.views"
        " where table_schema = 'finetune' and table_name like 'stg%' order by 1"
    )
    assert views == [("stg_finetune__products",), ("stg_products",)]
    # The shop may set the package's vars under its name, and they take effect.
    project = root / "dbt_project.yml"
    project.write_text(project.read_text().replace("occurrences: 10", "occurrences: 9"))
    refused = workspace.finetune("export", "--project-dir", "integration_tests")
    assert refused.returncode == 1
    assert "changed since the build (integration_tests/dbt_project.yml): model int" in (
        refused.stderr
    )
