"""`finetune init` leads from the wheel to the files, and overwrites nothing."""

import hashlib
import os
import resource
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workspace import REPOSITORY, clean_environment, open_folder

# The files of the sample, which are the same however they are made.
SAMPLE = {
    "clean.jsonl": "d8f88c3deb8d11efb7500e409ad67f671976b3d1a2641143ee285c20b7be6cf6",
    "train.jsonl": "c3d29a7255b3b0b893bf9ca198e3a763f0f550c93b3cff16c3ffc96383aca063",
}
WORKFLOW = ".github/workflows/data-quality.yml"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "build", "-n", "-o", folder, REPOSITORY],
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout
    return folder


class Bare:
    """An environment with the dependencies of the package, but without a clone."""

    def __init__(self, folder: Path, distributions: Path) -> None:
        venv.create(folder / "venv", symlinks=True)
        self.bin = folder / "venv/bin"
        dependencies = folder / "dependencies"
        dependencies.mkdir()
        for path in Path(site.getsitepackages()[0]).iterdir():
            if "finetune_exporter" not in path.name:
                (dependencies / path.name).symlink_to(path)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = folder / "venv/lib" / version / "site-packages"
        (packages / "dependencies.pth").write_text(f"{dependencies}\n")
        for name, module in (("dbt", "dbt.cli.main"), ("pip", "pip")):
            script = self.bin / name
            script.write_text(f'#!/bin/sh\nexec "{self.bin}/python" -m {module} "$@"\n')
            script.chmod(0o755)
        self.environment = clean_environment() | {
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(distributions),
        }

    def run(self, line: str, folder: Path, **variables: str) -> str:
        """Run a line as a runner of GitHub does; return its messages."""
        done = subprocess.run(
            ["bash", "-e", "-c", line],
            check=False,
            cwd=folder,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return the content of each path below a folder, None for what is no file."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def hashes(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in SAMPLE
    }


def test_the_wheel_contains_the_package_and_the_tracked_files_of_the_project(
    distributions: Path,
) -> None:
    assert len([*distributions.glob("*.tar.gz")]) == 1
    [wheel] = distributions.glob("*.whl")
    contained = set(zipfile.ZipFile(wheel).namelist())
    package = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "exporter").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert package <= contained
    listed = ["git", "ls-files", "dbt_project", "examples/products.csv"]
    tracked = subprocess.run(
        listed, check=True, cwd=REPOSITORY, capture_output=True, text=True
    ).stdout.split()
    shipped = {f"exporter/template/{name}" for name in tracked}
    assert shipped
    assert {
        name
        for name in contained - package
        if name.startswith("exporter/template/") and "profiles.yml" not in name
    } == shipped


@pytest.mark.slow
def test_the_wheel_leads_to_the_files_by_the_workflow_that_it_writes(
    distributions: Path, tmp_path: Path
) -> None:
    with open_folder() as folder:
        user = Bare(folder, distributions)
        user.run("pip install 'finetune-exporter[local]'", folder)
        messages = user.run("finetune init 'my shop'", folder)
        assert "  cd 'my shop'\n  make export\n" in messages
        shop = folder / "my shop"
        clone = tmp_path / "clone"
        finetune("init", clone)
        assert tree(shop) == tree(clone)

        (folder / "runner").mkdir()
        runner = Bare(folder / "runner", distributions)
        workflow: Any = yaml.safe_load((shop / WORKFLOW).read_text())
        job = workflow["jobs"]["data-quality"]
        # On the runner each is empty if the repository names no server.
        assert all(value.startswith("${{ ") for value in job["env"].values())
        nothing = dict.fromkeys(job["env"], "")
        lines = [step["run"] for step in job["steps"] if "run" in step]
        assert lines
        finetune("init", shop / "before")  # The checkout of the base.
        for line in lines:
            runner.run(line, shop, **nothing)
        assert hashes(shop / "before/files") == SAMPLE
        assert hashes(shop / "files") == SAMPLE
        # Not two builds of the same tables at the same time.
        assert "warning: jobserver" not in runner.run("make -j4 export test", shop)
        runner.run("make clean", shop)
        assert hashes(shop / "files") == SAMPLE


def test_make_passes_options_on_as_they_are(tmp_path: Path) -> None:
    assert finetune("init", tmp_path).returncode == 0
    command = ["make", "-n", "--no-print-directory", "build-and-export"]
    command.append("DATA_SET=shop")
    command += ["EXPORT_OPTIONS=--system-prompt 'Two  spaces.'"]
    planned = subprocess.run(
        command,
        check=True,
        cwd=tmp_path,
        # Not what a make above this one has set.
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert planned.stdout.splitlines()[1:] == [
        "finetune export shop --build -o files/shop --system-prompt 'Two  spaces.'",
        "finetune check -o files/shop",
    ]


def typed(heading: str) -> list[str]:
    """Return the commands in the README below a heading, with their output."""
    text = (REPOSITORY / "README.md").read_text("utf-8").partition(f"## {heading}\n")[2]
    return text.partition("```console\n")[2].partition("```")[0].splitlines()


def run(
    commands: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run commands in a shell; standard error goes to standard output, too."""
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(commands)],
        check=False,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done


@pytest.mark.slow
def test_the_readme_works_word_for_word_with_nothing_but_python_and_make(
    distributions: Path,
) -> None:
    with open_folder() as folder:
        environment = clean_environment() | {
            "HOME": str(folder),
            "PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
            "PIP_FIND_LINKS": f"{distributions} {os.environ.get('PIP_FIND_LINKS', '')}",
        }
        start = typed("Quick start")
        (folder / "rows.csv").write_text(
            "uid,title,content\n"
            + "".join(f"{n},lamp,a bright lamp number {n}\n" for n in range(12))
        )
        made = start.index("$ make export")
        commands = [line[2:] for line in start[: made + 1] if line.startswith("$ ")]
        done = run(commands, folder, environment)
        assert done.stdout.splitlines()[made - len(start) + 1 :] == start[made + 1 :]
        commands = ["cd shop", "mv ../rows.csv .", ". ../.venv/bin/activate"]
        commands += [line[2:] for line in typed("Your own rows")]
        done = run(commands, folder, environment)
        assert "12 rows loaded into public.product" in done.stdout
        assert len((folder / "shop/files/train.jsonl").read_bytes().splitlines()) == 12


def finetune(
    *arguments: str | Path, limits: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        check=False,
        env=clean_environment() | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        preexec_fn=limits,  # The tests have one thread.
    )


def a_file(path: Path) -> None:
    path.write_text("mine")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def a_link_to_a_folder(path: Path) -> None:
    (path.parent / "elsewhere").mkdir(parents=True)
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("make", [a_file, a_link_to_nothing, a_link_to_a_folder])
@pytest.mark.parametrize(
    "name",
    ["Makefile", "profiles.yml", ".gitignore", "dbt_project", "dbt_project/models"],
)
def test_if_one_of_its_files_exists_nothing_is_written(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    make(tmp_path / name)
    before = tree(tmp_path)
    done = finetune("init", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"finetune: {tmp_path / name} exists already")
    assert done.stderr.count("\n") == 1
    assert tree(tmp_path) == before


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    workflows = tmp_path / ".github/workflows"
    workflows.mkdir(parents=True)
    (workflows / "ci.yml").write_text("mine")
    (tmp_path / "README.md").write_text("mine")
    assert finetune("init", tmp_path).returncode == 0
    assert (workflows / "ci.yml").read_text() == "mine"
    assert (tmp_path / WORKFLOW).exists()


@pytest.mark.parametrize("there_before", [True, False])
def test_an_error_in_the_middle_leaves_nothing(
    tmp_path: Path, there_before: bool
) -> None:
    folder = tmp_path / "deep" / "shop"
    if there_before:
        (folder / ".github").mkdir(parents=True)
    before = tree(tmp_path)
    done = finetune(
        "init",
        folder,
        limits=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 1
    assert "nothing was written" in done.stderr
    assert tree(tmp_path) == before


def test_output_of_dbt_in_a_clone_is_not_copied(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for name in ("exporter", "dbt_project", "examples"):
        shutil.copytree(REPOSITORY / name, clone / name)
    shutil.copy(REPOSITORY / "profiles.yml.example", clone)
    for name in ("target/manifest.json", "logs/dbt.log", ".user.yml"):
        path = clone / "dbt_project" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("only here")
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "init", "shop"],
        check=False,
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONPATH": str(clone)},
        capture_output=True,
    )
    assert done.returncode == 0
    assert b"only here" not in tree(tmp_path / "shop").values()
    assert {path.name for path in (tmp_path / "shop").iterdir()} == {
        ".github",
        ".gitignore",
        "Makefile",
        "dbt_project",
        "examples",
        "profiles.yml",
    }
