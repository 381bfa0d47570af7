"""Closed endpoints, ended models and other APIs are refused; nothing is sent."""

from datetime import date
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter.cli import cli
from tests.corpus import lines
from tests.endpoint.conftest import MODEL, Finetune
from tests.endpoint.server import Server


@pytest.mark.parametrize(("day", "closed"), [(5, False), (6, True), (7, True)])
def test_a_check_for_a_closed_reader_warns(
    day: int, closed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("exporter.cli.check")
    monkeypatch.setattr(module, "today", lambda: date(2027, 1, day))
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(lines(12)))
    done = CliRunner().invoke(cli, ["check", str(path), "--for", "openai"])
    assert done.exit_code == 0
    message = "warning: OpenAI: no new fine-tuning jobs for anyone since 2027-01-06"
    assert (message in done.stderr) is closed


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the date of the commands to OpenAI's closing date."""
    for name in ("connection", "train", "upload"):
        module = import_module(f"exporter.cli.{name}")
        monkeypatch.setattr(module, "today", lambda: date(2027, 1, 6))


@pytest.mark.usefixtures("later")
def test_an_upload_to_a_closed_endpoint_sends_nothing(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://api.openai.com/v1")
    for command in (["upload"], ["train", "--model", MODEL, "--yes"]):
        result = finetune(*command)
        assert (result.code, result.out, server.requests) == (1, "", [])
        assert "no new fine-tuning jobs for anyone since" in result.err
    assert finetune("upload", "--ignore-dates").code == 0
    assert len(server.files) == 2


def set_date(day: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the date of the commands, and make the server the proxy of every host."""
    for name in ("connection", "upload"):
        module = import_module(f"exporter.cli.{name}")
        monkeypatch.setattr(module, "today", lambda: date.fromisoformat(day))
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))


@pytest.mark.parametrize(
    ("day", "closed"),
    [
        ("2027-01-05", []),
        ("2027-01-06", ["api.openai.com"]),
        ("2027-01-14", ["api.openai.com"]),
        ("2027-04-01", ["api.openai.com"]),
        ("2027-05-02", ["api.openai.com", "mine.openai.azure.com"]),
        ("2028-01-01", ["api.openai.com", "mine.openai.azure.com"]),
    ],
)
def test_an_upload_is_refused_from_the_closing_date_on(
    day: str,
    closed: list[str],
    server: Server,
    finetune: Finetune,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_date(day, server, monkeypatch)
    for host in ("api.openai.com", "mine.openai.azure.com"):
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://{host}/v1")
        sent = len(server.requests)
        result = finetune("upload")
        assert result.code == int(host in closed), result.err
        if host in closed:
            assert len(server.requests) == sent
            refusal = result.err.splitlines()[-1]
            assert "Nebius Token Factory (finetune recipe nebius)" in refusal
            assert ("Azure OpenAI, Microsoft Foundry (finetune" in refusal) == (
                len(closed) == 1
            )


def test_an_upload_for_a_model_that_has_ended_sends_no_file(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finetune("upload", "--model", "no-such-model").code == 1
    server.models[MODEL]["shutdown_date"] = "2026-01-31"
    assert f"{MODEL} was shut down" in finetune("upload", "--model", MODEL).err
    assert server.files == {}
    before = len(server.requests)
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://api.openai.com/v1")
    command = ("upload", "--model", "gpt-4.1-nano-2025-04-14")
    result = finetune(*command)
    assert (result.code, len(server.requests)) == (1, before)


@pytest.mark.parametrize(
    ("day", "message"),
    [
        ("2026-11-14", None),
        ("2026-11-15", f"{MODEL} and its fine-tunes will be shut down on 2027-01-14"),
        ("2027-01-13", f"{MODEL} and its fine-tunes will be shut down on 2027-01-14"),
        ("2027-01-14", f"{MODEL} was shut down on 2027-01-14"),
        ("2027-01-15", f"{MODEL} was shut down on 2027-01-14"),
    ],
)
def test_the_end_of_a_model_is_reported_even_if_dates_are_ignored(
    day: str,
    message: str | None,
    server: Server,
    finetune: Finetune,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_date(day, server, monkeypatch)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://api.openai.com/v1")
    result = finetune("upload", "--model", MODEL, "--ignore-dates")
    assert result.code == 0
    assert (f"warning: {message}\n" in result.err) == bool(message)
    assert (f"warning: {MODEL} " in result.err) == bool(message)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.together.xyz", "together"),
        ("api.fireworks.ai", "fireworks"),
        ("api.mistral.ai", "mistral"),
    ],
)
def test_an_endpoint_with_another_api_is_refused_with_its_recipe(
    server: Server,
    finetune: Finetune,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    name: str,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://{host}/v1")
    train = ["train", "--model", "m", "--yes"]
    for command in (["upload"], train, ["watch", "j"]):
        result = finetune(*command)
        assert (result.code, server.requests) == (1, [])
        assert f"finetune recipe {name}" in result.err
