"""What is installed is pinned, by hash or commit; what tools are given exists."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.workspace import REPOSITORY

# The extras that each file of requirements/ pins, as `make lock` names them.
LOCKS = {"local": ["local"], "spark": ["local", "spark"], "dev": ["dev"]}
WORKFLOWS = [
    *(REPOSITORY / ".github").rglob("*.yml"),
    REPOSITORY / "exporter/template/data-quality.yml",
]


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_with_hashes_within_its_range(name: str) -> None:
    text = (REPOSITORY / f"requirements/{name}.txt").read_text("utf-8")
    pins: dict[str, list[str]] = {}
    for pin in re.split(r"\n(?=\S)", text.strip()):
        package, version, *hashes = re.split(r"\s*\\\n\s+|==|\s*;", pin, maxsplit=2)
        assert "--hash=sha256:" in hashes[0], package
        pins.setdefault(package, []).append(version)
    for line in requires("finetune-exporter") or []:
        wanted = Requirement(line)
        extras = [{"extra": extra} for extra in LOCKS[name]]
        if wanted.name == "finetune-exporter" or not (
            wanted.marker is None or any(map(wanted.marker.evaluate, extras))
        ):
            continue
        versions = pins[wanted.name.lower()]
        assert all(map(wanted.specifier.contains, versions)), f"make lock: {line}"


@pytest.mark.parametrize("file", ["Makefile", "pyproject.toml"])
def test_every_module_and_test_that_a_tool_is_given_exists(file: str) -> None:
    text = (REPOSITORY / file).read_text("utf-8")
    for path in re.findall(r"\b(?:tests|exporter)/[\w/.]+\.(?:py|txt)\b", text):
        assert (REPOSITORY / path).exists(), path


def test_every_test_that_is_kept_from_mutants_exists() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    words = re.findall(r"not (\w+)", text.partition('"-k"')[2].partition("]")[0])
    tests = [path.read_text("utf-8") for path in REPOSITORY.glob("tests/test_*.py")]
    names = re.findall(r"^def (test_\w+)", "\n".join(tests), flags=re.MULTILINE)
    assert words
    assert [w for w in words if not any(w in name for name in names)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    for action in re.findall(r"uses: (.*)", path.read_text("utf-8")):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
