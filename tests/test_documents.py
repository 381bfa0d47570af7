"""What the documents say is what the programs do."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Workspace

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

# The import table: which parts of exporter/, files or folders, may use a package.
ALLOWED: dict[str, set[str]] = {
    "click": {"cli"},
    "dbt": set(),
    "jinja2": {"readers/recipes"},
    "msgpack": {"freshness"},
    "openai": {"endpoint"},
    "psycopg": {"engines/postgres"},
    "pyspark": {"engines/spark"},
    "yaml": {"artifacts", "checking", "freshness", "readers"},
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def helps() -> list[tuple[str, str]]:
    pattern = r"```console\n\$ finetune ([^\n]*?) --help\n(.*?)```"
    return re.findall(pattern, README, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("command", "text"), helps(), ids=[name for name, _ in helps()]
)
def test_the_helps_in_the_readme_are_those_of_the_program(
    command: str, text: str, workspace: Workspace
) -> None:
    done = workspace.finetune(*command.split(), "--help", COLUMNS="80")
    assert done.stdout.replace("python -m exporter", "finetune") == text


def test_every_command_stands_in_the_readme(workspace: Workspace) -> None:
    listed = workspace.finetune("--help").stdout.partition("Commands:")[2]
    names = re.findall(r"^  (\w+)  ", listed, flags=re.MULTILINE)
    assert names
    for name in names:
        assert f"| `finetune {name}" in README


def test_every_target_of_make_stands_in_the_readme() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):.*?## (.*)$", makefile, flags=re.MULTILINE)
    assert targets
    for name, text in targets:
        assert f"| `make {name}` | {text} |" in README


def test_the_rule_of_the_readme_works_as_it_is_written(workspace: Workspace) -> None:
    [patch] = blocks("diff")
    (workspace.folder / "rule.diff").write_text(patch)
    applied = workspace.run(["git", "apply", "rule.diff"])
    assert applied.returncode == 0, applied.stderr
    texts = [f"a bright lamp, number {n}" for n in range(10)]
    texts += [f"ask ann{n}@example.com" for n in range(3)]
    workspace.insert([(None, "lamp", text) for text in texts])
    workspace.build(unit_tests=True)
    done = workspace.finetune("export")
    assert done.returncode == 0
    assert re.search(r"description_without_email +13 +3 +10 ", done.stderr)
    # The test of the result stands on its own: it finds the rows by itself.
    rules = workspace.project / "macros/rules.sql"
    rules.write_text(rules.read_text().replace("'%_@_%._%'", "'nothing'"))
    built = workspace.dbt("build", "--exclude-resource-type", "unit_test")
    assert "Got 3 results, configured to fail if != 0" in built.stdout


def test_the_output_in_the_readme_is_that_of_the_sample(sample: Workspace) -> None:
    done = sample.finetune("export")
    [quick_start] = [text for text in blocks("console") if "make export" in text][:1]
    for line in (done.stderr + done.stdout).splitlines():
        assert line in quick_start


def test_a_role_with_the_grants_of_the_readme_can_build_and_another_export(
    workspace: Workspace,
) -> None:
    workspace.insert([(None, "lamp", f"a bright lamp, {n}") for n in range(12)])
    database = workspace.environment["PGDATABASE"]
    [grants] = blocks("sql")
    for name in ("finetune_build", "finetune_export"):
        grants = grants.replace(name, f"{name}_{database}")
    grants = re.sub(r"--.*", "", grants.replace(" shop ", f" {database} "))
    for statement in grants.replace("'…'", "'secret'").split(";"):
        if statement.strip():
            workspace.sql(statement)
    workspace.sql("revoke create on schema public from public")
    builder = {"PGUSER": f"finetune_build_{database}", "PGPASSWORD": "secret"}
    exporter = {"PGUSER": f"finetune_export_{database}", "PGPASSWORD": "secret"}
    owner = dict(workspace.environment)
    for _ in range(2):
        workspace.environment |= builder
        workspace.build()
        workspace.environment |= exporter
        workspace.export()
    workspace.environment |= exporter
    with pytest.raises(Exception, match="permission denied"):
        workspace.sql("select * from product")
    workspace.environment |= owner


def imports(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_each_part_imports_only_what_is_its_own() -> None:
    for path in (REPOSITORY / "exporter").rglob("*.py"):
        part = path.relative_to(REPOSITORY / "exporter").with_suffix("")
        above = {str(part), *map(str, part.parents)}
        for name in imports(path):
            package = name.partition(".")[0]
            allowed = ALLOWED.get(package, above)
            assert allowed & above, f"{path} imports {name}"
            if name.startswith("exporter.cli"):
                assert "cli" in above or path.stem == "__main__", f"{path} looks back"


def test_only_the_command_line_prints() -> None:
    for path in (REPOSITORY / "exporter").rglob("*.py"):
        if "cli" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert "print(" not in text
            assert "sys.exit" not in text
