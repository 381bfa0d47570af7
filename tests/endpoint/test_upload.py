"""What upload sends, what it does not send again, and what it refuses."""

import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from exporter.readers import read_readers
from tests.endpoint.conftest import MODEL, Finetune, export, sha256
from tests.endpoint.server import Server


def test_upload_sends_the_exact_bytes_of_both_files_and_prints_their_ids(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    result = finetune("upload")
    train, valid = folder / "train.jsonl", folder / "valid.jsonl"
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert [*server.contents.values()] == [sha256(train), sha256(valid)]
    assert [file["filename"] for file in server.files.values()] == [
        f"train-{sha256(train)[:12]}.jsonl",
        f"valid-{sha256(valid)[:12]}.jsonl",
    ]


@pytest.mark.parametrize("options", [[], ["--parts-above", "0"]])
def test_a_file_at_the_endpoint_is_not_sent_again(
    server: Server, finetune: Finetune, options: list[str]
) -> None:
    first = finetune("upload", *options)
    for number in range(30):  # More than a page.
        server.add_file(f"other-{number}.jsonl", 5)
    second = finetune("upload", *options)
    assert (second.code, second.out) == (0, first.out)
    assert len(server.files) == 32
    assert server.requests.count("POST /files") == (0 if options else 2)


@pytest.mark.parametrize("size", [None, "", "1082", -1, [5], {"a": 5}, 1e308])
def test_a_file_whose_size_is_no_size_is_found_by_its_name(
    server: Server, finetune: Finetune, size: object
) -> None:
    first = finetune("upload")
    for file in server.files.values():
        file["bytes"] = size
    second = finetune("upload")
    assert (second.code, second.out) == (0, first.out)
    assert len(server.files) == 2
    server.exchanges.clear()


def test_a_file_of_the_same_name_but_another_size_or_a_bad_status_is_not_used(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    (folder / "valid.jsonl").unlink()
    export(folder, [f"title {n}" for n in range(12)], [])
    [sent] = finetune("upload").out.split()
    name, size = server.files[sent]["filename"], server.files[sent]["bytes"]
    del server.files[sent]
    server.add_file(name, size + 1)
    server.add_file(name, size - 1)
    gone = server.add_file(name, size)
    gone["status"] = "deleted"
    [again] = finetune("upload").out.split()
    assert again == [*server.files][-1]
    assert server.requests.count("POST /files") == 2
    server.files[again]["status"] = "error"
    faulty = server.add_file(name, size)
    faulty["status"] = "processed"
    server.files[again]["created_at"] = faulty["created_at"] + 5
    assert finetune("upload").out.split() == [faulty["id"]]
    server.exchanges.clear()  # The description has no status "deleted".


def test_force_sends_again(server: Server, finetune: Finetune) -> None:
    first = finetune("upload")
    second = finetune("upload", "--force")
    assert first.out.split() + second.out.split() == list(server.files)


def test_a_forced_file_whose_answer_is_lost_is_not_confused_with_the_older_one(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    server.fail("POST /files", "lost")
    second = finetune("upload", "--force")
    assert second.out.split() == list(server.files)[2:]


def test_parts_arrive_in_the_order_of_the_file(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    export(folder, [f"title {n}" for n in range(500)], [])
    size = (folder / "train.jsonl").stat().st_size
    result = finetune("upload", "--parts-above", "0.01", "--part-size", "0.004")
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert [*server.contents.values()] == [sha256(folder / "train.jsonl")]
    route = "POST /uploads/{upload_id}/parts"
    assert server.requests.count(route) == -(-size // int(0.004 * (1 << 20)))
    assert not list(folder.glob(".upload-*"))


def test_a_part_that_is_refused_ends_the_upload_while_another_waits(
    server: Server, finetune: Finetune
) -> None:
    route = "POST /uploads/{upload_id}/parts"
    server.fail(route, "hold before", 1)
    server.fail(route, 400)
    result = finetune("upload", "--parts-above", "0", "--part-size", "0.0007")
    assert not server.held_too_long
    assert (result.code, result.out, server.files) == (1, "", {})
    assert "400 on sending part" in result.err
    assert server.open_uploads() == []


def test_where_no_more_threads_can_be_started_no_upload_stays_open(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()

    def start_one(thread: threading.Thread) -> None:
        if thread.name == "parts":
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    result = finetune("upload", "--parts-above", "0")
    assert (result.code, result.out, server.open_uploads()) == (1, "", [])
    assert "no thread can be started; free some" in result.err


def test_an_upload_that_a_killed_command_left_open_is_cancelled(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    upload = server.act(
        "POST", "/uploads", {}, {"bytes": 5, "filename": "x", "purpose": "fine-tune"}
    )[1]
    note = folder / f".upload-{upload['id']}.json"
    note.write_bytes(orjson.dumps({"endpoint": server.url, "id": upload["id"]}))
    elsewhere = folder / ".upload-upload_9.json"
    elsewhere.write_bytes(orjson.dumps({"endpoint": "http://x", "id": "upload_9"}))
    assert finetune("upload").code == 0
    assert server.open_uploads() == []
    assert list(folder.glob(".upload-*")) == [elsewhere]


@pytest.mark.parametrize("end", ["processed", "PROCESSED"])
def test_upload_waits_until_a_file_is_processed(
    server: Server, finetune: Finetune, end: str
) -> None:
    server.statuses = ["uploaded", "uploaded", end]
    result = finetune("upload", "--wait", "3")
    assert result.code == 0
    assert server.requests.count("GET /files/{file_id}") == 2
    server.exchanges.clear()  # The description has no status in capitals.


@pytest.mark.parametrize("end", ["error", "Error"])
def test_a_file_that_the_endpoint_cannot_process_is_an_error(
    server: Server, finetune: Finetune, end: str
) -> None:
    server.statuses = ["uploaded", end]
    result = finetune("upload", "--wait", "3")
    server.exchanges.clear()
    assert result.code == 1
    assert "cannot be used: no reason given; fix the data" in result.err


def test_the_wait_for_a_file_that_is_never_processed_ends(
    server: Server, finetune: Finetune
) -> None:
    server.statuses = ["uploaded"]
    result = finetune("upload", "--wait", "0.3")
    assert result.code == 1
    assert "is still 'uploaded' after 0.3 s; run it again to keep waiting" in result.err


def damage(folder: Path, kind: str, limits: dict[Any, Any]) -> None:
    train, valid = folder / "train.jsonl", folder / "valid.jsonl"
    if kind == "changed":
        train.write_bytes(train.read_bytes().replace(b"title 1", b"title 7"))
    elif kind == "shortened":
        valid.write_bytes(valid.read_bytes()[:-1])
    elif kind == "missing":
        valid.unlink()
    elif kind == "no manifest":
        (folder / "manifest.json").unlink()
    elif kind == "wrong manifest":
        (folder / "manifest.json").write_text("[]")
    elif kind == "too few":
        export(folder, [f"title {n}" for n in range(9)], [])
    elif kind == "too large":
        limits["bytes"] = 1000
    elif kind == "both":
        export(folder, [f"title {n}" for n in range(12)], ["a", "title 5"])
    elif kind == "no folder":
        folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize("command", [["upload"], ["train", "--model", MODEL, "--yes"]])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("changed", "train.jsonl: sha256 "),
        ("shortened", "valid.jsonl: sha256 "),
        ("missing", "valid.jsonl: No such file or directory, but it is in the mani"),
        ("no manifest", "manifest.json: No such file or directory"),
        ("wrong manifest", "manifest.json: not a manifest of finetune export"),
        ("too few", "train.jsonl: fewer than 10 examples: 9 (openai: fewer are refu"),
        ("too large", "train.jsonl: 1,082 bytes, more than 1,000 (openai: larger"),
        ("both", "valid.jsonl:2: also an example of files/train.jsonl:6"),
        ("no folder", "files: No such file or directory; run finetune export"),
    ],
)
def test_files_that_are_not_as_exported_are_refused_before_a_byte_is_sent(
    server: Server,
    finetune: Finetune,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    kind: str,
    message: str,
) -> None:
    limits = read_readers()["openai"].published_limits
    monkeypatch.setitem(limits, "bytes", limits["bytes"])
    damage(folder, kind, limits)
    result = finetune(*command)
    assert (result.code, server.requests) == (1, [])
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["api.openai.com/v1", "ftp://x", "http://[", "http://x:y"]
)
def test_an_invalid_base_url_is_refused(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    result = finetune("upload")
    assert (result.code, server.requests) == (1, [])
    assert "OPENAI_BASE_URL is not an address" in result.err


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("http://me.openai.azure.com/openai/v1/", [], "Azure requires the type"),
        (
            "http://me.openai.azure.com/openai/v1/",
            ["--extra", 'trainingType="globalStandard"'],
            "",
        ),
        ("http://api.tokenfactory.nebius.com/v1/", [], "Nebius trains every weight"),
        (
            "http://api.tokenfactory.nebius.com/v1/",
            ["--extra", 'hyperparameters={"lora":true}'],
            "",
        ),
        (
            "http://api.openai.com/v1",
            ["--ignore-dates"],
            "OpenAI: organisations that had never fine-tuned can create no jobs since",
        ),
    ],
)
def test_warnings_about_the_provider_are_shown(
    server: Server,
    finetune: Finetune,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    options: list[str],
    message: str,
) -> None:
    # The server acts as the proxy, so that nothing leaves the loopback.
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    server.models["a-model"] = {"id": "a-model", "object": "model"}
    assert finetune("upload").code == 0
    result = finetune("train", "--model", "a-model", "--yes", *options)
    assert result.code == 0
    assert len(server.jobs) == 1
    if message:
        assert f"warning: {message}" in result.err
    else:
        assert "warning: Azure requires" not in result.err
        assert "warning: Nebius" not in result.err


def test_user_and_query_of_the_base_url_are_not_shown(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = server.url.replace("://", "://user:hidden@")
    monkeypatch.setenv("OPENAI_BASE_URL", secret)
    result = finetune("upload")
    assert "hidden" not in result.err + result.out


def test_parts_have_at_least_one_byte(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    export(folder, [f"title {n}" for n in range(10)], [])
    tiny = ["--parts-above", "0", "--part-size"]
    many = finetune("upload", *tiny, "0.000000001")
    assert (many.code, many.out.split()) == (0, list(server.files))
    size = (folder / "train.jsonl").stat().st_size
    assert server.requests.count("POST /uploads/{upload_id}/parts") == size
