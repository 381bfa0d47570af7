"""The commands against a server that others wrote, npm's @copilotkit/aimock."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endpoint.conftest import KEY, Finetune

VERSION = "1.43.0"
CACHE = Path(__file__).parents[2] / ".aimock_cache"
PACKAGE = CACHE / "node_modules" / "@copilotkit" / "aimock"


def absent(reason: str) -> None:
    """Skip the test with a reason; in CI, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def aimock(tmp_path: Path) -> Iterator[str]:
    """Run aimock and yield its base URL."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        absent("npm is not installed, so aimock cannot run")
    assert node
    assert npm
    if not PACKAGE.exists():
        CACHE.mkdir(exist_ok=True)
        # By default npm tries for minutes to reach a registry that is out of reach.
        install = [npm, "install", "--prefix", str(CACHE), "--no-save"]
        install.append("--fetch-retries=0")
        done = subprocess.run(
            [*install, f"@copilotkit/aimock@{VERSION}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            absent(f"npm cannot install aimock: {done.stderr[-300:]}")
    fixtures = tmp_path / "fixtures.json"
    fixtures.write_text(
        '{"fixtures":[{"match":{"userMessage":"x"},"response":{"content":"x"}}]}'
    )
    with subprocess.Popen(
        [node, PACKAGE / "dist" / "cli.js", "--port", "0", "--fixtures", fixtures],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if found := re.search(r"listening on (http://\S+)", line):
                yield f"{found[1]}/v1"
                break
        else:
            pytest.fail("aimock did not start")
        process.kill()


def test_a_third_party_server_gets_one_file_and_one_job_and_returns_a_model(
    aimock: str, finetune: Finetune, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", aimock)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(folder.parent)
    first, second = finetune("upload"), finetune("upload")
    assert (first.code, second.code, first.out) == (0, 0, second.out)
    assert len(first.out.split()) == 2
    options = ["--model", "gpt-4o", "--suffix", "mugs", "--epochs", "2", "--yes"]
    job, same = finetune("train", *options), finetune("train", *options)
    assert (job.code, same.code, job.out) == (0, 0, same.out), job.err
    watched = finetune("watch", job.out.strip(), "--interval", "0.01")
    assert watched.code == 0, watched.err
    assert "mugs" in watched.out
    assert (folder / "jobs.jsonl").exists()
