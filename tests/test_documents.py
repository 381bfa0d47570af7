"""The documents show what the programs do, and each part imports only its own."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from exporter.cli import cli
from tests.printed import printed
from tests.workspace import REPOSITORY, Workspace

PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]

# The import table: which files or folders of exporter/ may import a package.
ALLOWED: dict[str, set[str]] = {
    "click": {"cli"},
    "dbt": {"building"},
    "httpx2": {"endpoint/exchange"},
    "jinja2": {"jinja"},
    "markupsafe": {"report"},
    "msgpack": {"freshness"},
    "openai": {"endpoint"},
    "psycopg": {"engines/connection", "engines/postgres", "engines/raw_table"},
    "pyspark": {"engines/spark"},
    "grpc": {"engines/idle_timeout"},
    "yaml": {"artifacts", "checking", "freshness", "readers"},
}


def blocks(page: str, language: str) -> list[str]:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_shows_what_the_program_prints(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert printed(text) == text, "run make tables"


def test_the_printed_help_texts_are_those_of_a_terminal(workspace: Workspace) -> None:
    done = workspace.finetune("export", "--help", COLUMNS="80")
    assert done.stdout.replace("python -m exporter", "finetune") in printed(
        "<!-- printed: helps -->\n<!-- end -->"
    )


@pytest.mark.parametrize("makefile", ["Makefile", "exporter/template/Makefile"])
def test_the_list_of_make_targets_fits_a_terminal(makefile: str) -> None:
    listed = subprocess.run(
        ["make", "-f", makefile, "help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert [line for line in listed if len(line) > 80] == []
    assert any(line.split()[:1] == ["export"] for line in listed)


def test_the_readme_is_short_and_names_every_page() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in readme


def anchors(page: Path) -> list[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_the_commands_and_links_of_a_page_are_understood(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", "")
    for line in re.findall(r"^\$ finetune ([^|>\n]*)", text, flags=re.MULTILINE):
        words = shlex.split(line, comments=True)
        context = click.Context(cli, **cli.context_settings)
        while isinstance(context.command, click.Group) and words[0][:1] != "-":
            command = context.command.get_command(context, words.pop(0))
            assert command is not None, line
            context = click.Context(command, context, **command.context_settings)
        context.command.make_parser(context).parse_args(words)
    for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^):]*))?\)", text):
        target = page.parent / link if link else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: #{anchor}"


def test_the_rule_of_the_documents_works_as_it_is_written(workspace: Workspace) -> None:
    [patch] = blocks("docs/rules.md", "diff")
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
    # The data test does not depend on the rule: without it, it finds the rows.
    rules = workspace.project / "macros/rules.sql"
    rules.write_text(rules.read_text().replace("'%_@_%._%'", "'nothing'"))
    built = workspace.dbt("build", "--exclude-resource-type", "unit_test")
    assert "Got 3 results, configured to fail if != 0" in built.stdout


def test_the_output_in_the_readme_is_that_of_the_sample(sample: Workspace) -> None:
    done = sample.finetune("export")
    [quick_start] = [
        text for text in blocks("README.md", "console") if "make export" in text
    ][:1]
    for line in (done.stderr + done.stdout).splitlines():
        assert line in quick_start


def imports(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports, at any place."""
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


def test_a_test_file_says_what_it_proves_and_stands_alone() -> None:
    for path in (REPOSITORY / "tests").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith('"""'), f"{path}: the first line says what it proves"
        for name in imports(path):
            assert not re.search(r"^benchmarks\b|\btest_", name), f"{path}: {name}"
