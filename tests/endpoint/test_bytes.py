"""The bytes sent are the bytes that were hashed, or no file stays at the endpoint."""

import os
from pathlib import Path

import pytest

from tests.endpoint.conftest import Finetune, export
from tests.endpoint.server import Server

PARTS = ["--parts-above", "0", "--part-size", "1"]
CHANGED = "files/train.jsonl: changed while it was sent; nothing of it is left at"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A training file that is larger than the socket buffers."""
    titles = [f"title {n}" for n in range(30)]
    export(tmp_path / "files", titles, [], text="x" * (1 << 20))
    return tmp_path / "files"


def change(path: Path, letter: bytes = b"y") -> None:
    """Change a letter near the end, in place."""
    with path.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(letter)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - (4 << 20))


@pytest.mark.parametrize("harm", [change, cut])
@pytest.mark.parametrize("torn", [False, True])
def test_a_file_that_changes_while_it_is_sent_leaves_no_file(
    server: Server, finetune: Finetune, folder: Path, harm: object, torn: bool
) -> None:
    assert callable(harm)
    server.accepts_torn = torn
    server.during_body = lambda: harm(folder / "train.jsonl")
    result = finetune("upload", "--retries", "1")
    assert (result.code, result.out, server.files) == (1, "", {})
    assert result.err.count("finetune: ") == 1
    assert f"finetune: {CHANGED} {server.url}; run finetune export" in result.err
    assert server.requests.count("POST /files") == 1
    assert ("DELETE /files/{file_id}" in server.requests) == torn


@pytest.mark.parametrize("harm", [change, cut])
def test_a_file_that_changes_while_its_parts_are_sent_leaves_no_file(
    server: Server, finetune: Finetune, folder: Path, harm: object
) -> None:
    assert callable(harm)
    server.during_body = lambda: harm(folder / "train.jsonl")
    result = finetune("upload", "--retries", "1", *PARTS)
    assert (result.code, result.out, server.files) == (1, "", {})
    assert f"finetune: {CHANGED} {server.url}; run finetune export" in result.err
    assert server.open_uploads() == []
    assert not list(folder.glob(".upload-*"))


@pytest.mark.parametrize("options", [[], ["--parts-above", "0"]])
def test_a_file_that_arrives_in_another_size_is_deleted(
    server: Server,
    finetune: Finetune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    export(tmp_path / "files", [f"title {n}" for n in range(12)], [])
    add = server.add_file
    monkeypatch.setattr(
        server, "add_file", lambda name, _, sha256="": add(name, 5, sha256)
    )
    result = finetune("upload", *options)
    assert (result.code, result.out, server.files) == (1, "", {})
    assert "bytes were sent, 5 arrived; nothing of it is left at" in result.err


def test_an_older_file_is_not_deleted(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    assert finetune("upload").code == 0
    [old] = server.files
    server.during_body = lambda: change(folder / "train.jsonl")
    assert finetune("upload", "--force").code == 1
    assert [*server.files] == [old]


def test_a_file_that_cannot_be_deleted_is_reported(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    server.accepts_torn = True
    server.fail("DELETE /files/{file_id}", 403)
    server.during_body = lambda: change(folder / "train.jsonl")
    result = finetune("upload", "--retries", "0")
    assert (result.code, result.err.count("finetune: ")) == (1, 1)
    assert "a part of it may be left there: http" in result.err
    server.faults.clear()
    change(folder / "train.jsonl", b"x")
    # It has the same name but another size, so the file is sent again.
    assert finetune("upload").out.split() == list(server.files)[1:]
