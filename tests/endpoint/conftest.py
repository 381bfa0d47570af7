"""A folder of exported files, an endpoint, and the command that uses them."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from exporter import cli
from exporter.files import drafts, publish
from tests.endpoint.description import check
from tests.endpoint.raw import Raw
from tests.endpoint.server import Server
from tests.lines import chat_line

KEY = "sk-test-1234567890"
MODEL = "gpt-4.1-mini-2025-04-14"


class Result(NamedTuple):
    code: int
    out: str
    err: str


def export(
    folder: Path, training: list[str], validation: list[str], *, text: str = "Good."
) -> None:
    """Write the files of an export with these titles."""
    with drafts(folder, "train.jsonl", "valid.jsonl", "manifest.json") as three:
        train, valid, manifest = three
        for draft, titles in ((train, training), (valid, validation)):
            for title in titles:
                draft.write_line(chat_line(system=None, title=title, description=text))
        written = [train, valid] if validation else [train]
        document = {
            "files": {draft.path.name: draft.finish()._asdict() for draft in written},
            "git_commit": "0123abc",
            "tool": "finetune-exporter 0.0.0",
        }
        manifest.write_line(orjson.dumps(document) + b"\n")
        manifest.finish()
        publish(*written, manifest)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of twelve and of three examples, in the working folder."""
    export(tmp_path / "files", [f"title {n}" for n in range(12)], ["a", "b", "c"])
    return tmp_path / "files"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Server]:
    """The endpoint of the environment; its traffic is validated at the end."""
    for name in [*os.environ]:
        if name.startswith("OPENAI_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    # There is no TLS here, and loading all root certificates for each command would
    # take longer than all the rest.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    with Server() as endpoint:
        endpoint.models[MODEL] = {"id": MODEL, "object": "model", "created": 1}
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.chdir(folder.parent)
        yield endpoint
    for exchange in endpoint.exchanges:
        check(exchange)


Finetune = Callable[..., Result]


@pytest.fixture
def finetune(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Finetune:
    """Run the command in this process."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["finetune", *arguments])
        capsys.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = exit_.code
        out, err = capsys.readouterr()
        assert KEY not in out + err
        assert isinstance(code, int)
        return Result(code, out, err)

    return run


@pytest.fixture
def raw(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Raw]]:
    """Let the environment name a server that sends the given bytes."""
    assert server.url
    made = []

    def make(answer: Callable[[str, int], Iterator[bytes]]) -> Raw:
        made.append(Raw(answer))
        monkeypatch.setenv("OPENAI_BASE_URL", f"{made[-1].origin}/v1")
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, code: str = "") -> subprocess.Popen[str]:
        program = ["-c", code] if code else ["-m", "exporter"]
        child = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        with child:
            child.kill()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
