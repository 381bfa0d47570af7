"""The key appears nowhere, whatever happens and however much is logged."""

import traceback
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from exporter.endpoint.client import Endpoint
from exporter.errors import FinetuneError
from tests.endpoint.conftest import KEY, MODEL, Finetune
from tests.endpoint.server import Server


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("sk-top-secret\n", "a control character as character 14 of 14"),
        ("sk-top-secret\r\n", "a control character as character 14 of 15"),
        (" sk-top-secret", "space as character 1 of 14"),
        ("sk-tøp-secret", "latin small letter o with stroke as character 5 of 13"),
        ("sk-top-secret\u200b", "zero width space as character 14 of 14"),
        ("sk-top\udcffsecret", "a control character as character 7 of 13"),
    ],
)
def test_a_key_with_an_odd_character_is_refused_and_not_shown(
    server: Server,
    finetune: Finetune,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    what: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    result = finetune("upload")
    assert (result.code, result.out, server.requests) == (1, "", [])
    assert result.err == (
        f"finetune: OPENAI_API_KEY contains {what}, which no key does; copy it again\n"
    )


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_reported(
    server: Server,
    finetune: Finetune,
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    result = finetune("upload")
    assert (result.code, server.requests) == (1, [])
    assert "OPENAI_API_KEY is not set; export OPENAI_API_KEY=KEY" in result.err


def test_a_wrong_key_is_not_shown_when_the_endpoint_repeats_it(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-secret")
    result = finetune("upload")
    assert (result.code, server.files) == (1, {})
    assert "401 on listing the files: the key is refused" in result.err
    assert "another" not in result.err


@pytest.mark.parametrize("kind", [400, 403, 500])
def test_the_key_is_removed_from_messages_of_the_endpoint(
    server: Server, finetune: Finetune, kind: int
) -> None:
    server.fail("GET /files", kind, message=f"no, {KEY}, no")
    result = finetune("upload", "--retries", "0")
    assert result.code == 1
    assert "no, [key], no" in result.err


@pytest.mark.parametrize("kind", [401, 500, "drop", "html", "not json"])
def test_no_exception_contains_the_key(server: Server, kind: str | int) -> None:
    server.fail("GET /files", kind)
    endpoint = Endpoint(timeout=1, retries=0)
    with pytest.raises(FinetuneError) as caught:
        list(endpoint.paginate("x", endpoint.retrying.files.list))
    text = "".join(traceback.format_exception(caught.value))
    assert KEY not in text + repr(caught.value.__dict__) + repr(endpoint)


def test_logs_files_and_processes_do_not_contain_the_key(
    server: Server,
    process: Callable[..., Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
) -> None:
    monkeypatch.setenv("OPENAI_LOG", "debug")
    server.course = ["succeeded"]
    server.fail("GET /files", 429, 1, message=KEY)
    server.fail("POST /files", 400, 1, message=KEY)
    seen = []
    for arguments in (
        ["upload", "--retries", "1"],
        ["upload"],
        ["train", "--model", MODEL, "--yes", "--watch"],
    ):
        child = process(*arguments)
        seen.append(Path(f"/proc/{child.pid}/cmdline").read_text())
        seen += child.communicate(timeout=60)
    assert child.returncode == 0
    assert "HTTP Request" in "".join(seen)
    assert KEY not in "".join(seen)
    for file in folder.iterdir():
        assert KEY.encode() not in file.read_bytes()
