"""What upload, train and watch do when all goes well, and what they refuse."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.endpoint.conftest import MODEL, Finetune, export
from tests.endpoint.server import Server


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_upload_sends_the_very_bytes_of_both_files_and_prints_their_ids(
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
def test_what_is_at_the_endpoint_is_not_sent_again(
    server: Server, finetune: Finetune, options: list[str]
) -> None:
    first = finetune("upload", *options)
    for number in range(30):  # More than a page.
        server.add_file(f"other-{number}.jsonl", 5)
    second = finetune("upload", *options)
    assert (second.code, second.out) == (0, first.out)
    assert len(server.files) == 32
    assert server.requests.count("POST /files") == (0 if options else 2)


def test_force_sends_again(server: Server, finetune: Finetune) -> None:
    first = finetune("upload")
    second = finetune("upload", "--force")
    assert first.out.split() + second.out.split() == list(server.files)


def test_a_forced_file_is_not_taken_for_the_one_before_when_its_answer_is_lost(
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


def test_upload_waits_until_a_file_is_processed(
    server: Server, finetune: Finetune
) -> None:
    server.statuses = ["uploaded", "uploaded", "processed"]
    result = finetune("upload")
    assert result.code == 0
    assert server.requests.count("GET /files/{file_id}") == 2


def test_a_file_that_the_endpoint_cannot_process_is_an_error(
    server: Server, finetune: Finetune
) -> None:
    server.statuses = ["uploaded", "error"]
    result = finetune("upload")
    assert result.code == 1
    assert "cannot be used: no reason given; fix the data" in result.err


def test_a_file_that_is_never_processed_is_not_waited_for_without_end(
    server: Server, finetune: Finetune
) -> None:
    server.statuses = ["uploaded"]
    result = finetune("upload", "--wait", "0.3")
    assert result.code == 1
    assert (
        "is still 'uploaded' after 0.3 s; run it again to go on waiting" in result.err
    )


def test_a_dry_run_prints_the_very_request_and_creates_nothing(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    train, valid = finetune("upload").out.split()
    options = ["--model", MODEL, "--suffix", "mugs", "--seed", "7", "--epochs", "3"]
    options += ["--learning-rate-multiplier", "0.5", "--batch-size", "4"]
    options += ["--extra", 'trainingType="globalStandard"']
    options += ["--extra", "method.supervised.hyperparameters.lora=true"]
    dry = finetune("train", *options, "--dry-run")
    body = orjson.loads(dry.out)
    metadata = body.pop("metadata")
    assert (dry.code, server.jobs) == (0, {})
    assert body == {
        "model": MODEL,
        "training_file": train,
        "validation_file": valid,
        "suffix": "mugs",
        "seed": 7,
        "method": {
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "n_epochs": 3,
                    "batch_size": 4,
                    "learning_rate_multiplier": 0.5,
                    "lora": True,
                }
            },
        },
        "trainingType": "globalStandard",
    }
    assert metadata.pop("request_sha256")
    assert metadata.pop("tool").startswith("finetune-exporter ")
    assert metadata == {
        "dataset_sha256": sha256(folder / "train.jsonl"),
        "manifest_sha256": sha256(folder / "manifest.json"),
        "git_commit": "0123abc",
    }
    assert finetune("train", *options, "--yes").code == 0
    [sent] = [e.body for e in server.exchanges if e.route == "POST /fine_tuning/jobs"]
    assert sent == orjson.loads(dry.out)


def test_null_takes_a_key_out_of_the_request(
    server: Server, finetune: Finetune
) -> None:
    assert server.url
    finetune("upload")
    options = ["--extra", "method=null", "--extra", 'hyperparameters={"lora":true}']
    body = orjson.loads(finetune("train", "--model", MODEL, "--dry-run", *options).out)
    assert "method" not in body
    assert body["hyperparameters"] == {"lora": True}


def test_an_endpoint_that_takes_no_metadata_gets_none(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    options = ["--model", MODEL, "--yes", "--extra", "metadata=null"]
    first = finetune("train", *options)
    [job] = server.jobs.values()
    assert "metadata" not in job
    assert finetune("train", *options).out == first.out == f"{job['id']}\n"


@pytest.mark.parametrize("status", ["queued", "pending", "succeeded"])
def test_a_job_of_the_same_request_is_not_created_again(
    server: Server, finetune: Finetune, status: str
) -> None:
    finetune("upload")
    first = finetune("train", "--model", MODEL, "--yes")
    server.jobs[first.out.strip()]["status"] = status
    for _ in range(30):  # More than a page.
        server.add_job(metadata={"request_sha256": "another"})
    second = finetune("train", "--model", MODEL, "--yes")
    assert (second.code, second.out) == (0, first.out)
    assert f"is an equal job and {status}; to create another: --again" in second.err
    assert len(server.jobs) == 31
    server.exchanges.clear()  # The description knows no status "pending".


@pytest.mark.parametrize("options", [["--again"], ["--seed", "3"], ["--epochs", "2"]])
def test_a_job_of_another_request_is_created(
    server: Server, finetune: Finetune, options: list[str]
) -> None:
    finetune("upload")
    finetune("train", "--model", MODEL, "--yes")
    assert finetune("train", "--model", MODEL, "--yes", *options).code == 0
    assert len(server.jobs) == 2


def test_a_job_is_created_again_after_one_that_failed(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    server.course = ["failed"]
    first = finetune("train", "--model", MODEL, "--yes")
    second = finetune("train", "--model", MODEL, "--yes")
    assert first.out + second.out == "".join(f"{job}\n" for job in server.jobs)


@pytest.mark.parametrize("model", [MODEL, "gpt-4.1-mini"])
def test_where_no_metadata_are_kept_model_and_files_tell_an_equal_job(
    server: Server, finetune: Finetune, model: str
) -> None:
    server.models[model] = {"id": model, "object": "model"}
    train, valid = finetune("upload").out.split()
    files = {"training_file": train, "validation_file": valid}
    job = server.add_job(model=MODEL, **files)
    server.add_job(model=MODEL, training_file=train)
    server.add_job(model="gpt-4.1-mini-large", **files)
    assert finetune("train", "--model", model, "--yes").out.strip() == job["id"]


def test_without_a_terminal_training_needs_a_yes(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    result = finetune("train", "--model", MODEL)
    assert (result.code, server.jobs) == (2, {})
    assert "without a terminal add --yes" in result.err


@pytest.mark.parametrize(("answer", "code", "jobs"), [("n", 1, 0), ("y", 0, 1)])
def test_on_a_terminal_training_asks(
    server: Server, finetune: Finetune, answer: str, code: int, jobs: int
) -> None:
    finetune("upload")
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "train", "--model", MODEL],
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, len(server.jobs)) == (code, jobs)
    assert f"Train {MODEL} at {server.url}? It costs money. [y/N]" in done.stderr


def test_training_needs_the_files_at_the_endpoint(
    server: Server, finetune: Finetune
) -> None:
    result = finetune("train", "--model", MODEL, "--yes")
    assert (result.code, server.jobs) == (1, {})
    assert "is not there; run finetune upload" in result.err


def test_training_can_be_followed_to_its_end(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    server.course = ["failed"]
    result = finetune("train", "--model", MODEL, "--yes", "--watch")
    assert result.code == 1
    assert f"{next(iter(server.jobs))}: failed" in result.err


def test_an_unknown_model_is_refused_with_those_that_are_like_it(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    result = finetune("train", "--model", "gpt-4.1-mini", "--yes")
    assert (result.code, server.jobs) == (1, {})
    assert f"no model gpt-4.1-mini; it has {MODEL}" in result.err


def test_an_endpoint_that_lists_no_models_is_trusted(
    server: Server, finetune: Finetune
) -> None:
    server.models.clear()
    finetune("upload")
    result = finetune("train", "--model", "llama", "--yes")
    assert result.code == 0
    assert "lists no models; llama is taken on trust" in result.err


@pytest.mark.parametrize("gone", ["2026-01-31", "2026-01-31T00:00:00Z", 1769817600])
def test_a_model_that_was_shut_down_is_refused(
    server: Server, finetune: Finetune, gone: object
) -> None:
    server.models[MODEL]["shutdown_date"] = gone
    finetune("upload")
    result = finetune("train", "--model", MODEL, "--yes")
    assert (result.code, server.jobs) == (1, {})
    assert f"{MODEL} was shut down on 2026-01-31" in result.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--suffix", "x" * 65], "suffix: 65 characters; a suffix has 1 to 64"),
        (["--suffix", ""], "suffix: 0 characters; a suffix has 1 to 64"),
        (["--extra", f'metadata={{"a":"{"x" * 513}"}}'], "a value 512"),
        (["--extra", f'metadata={{"{"k" * 65}":"x"}}'], "at most 64 characters"),
        (["--extra", 'metadata={"a":1}'], "must be an object whose values are text"),
        (
            [
                "--extra",
                f"metadata={orjson.dumps(dict.fromkeys('abcdefghijkl', 'x')).decode()}",
            ],
            "17 pairs",
        ),
        (["--extra", "model.x=1"], "--extra model.x: model is not an object"),
    ],
)
def test_what_the_endpoint_would_refuse_is_refused_before_it(
    server: Server, finetune: Finetune, options: list[str], said: str
) -> None:
    finetune("upload")
    result = finetune("train", "--model", MODEL, "--yes", *options)
    assert (result.code, server.jobs) == (1, {})
    assert said in result.err


@pytest.mark.parametrize(
    "options",
    [
        ["--seed", "2147483648"],
        ["--epochs", "51"],
        ["--batch-size", "257"],
        ["--learning-rate-multiplier", "0"],
        ["--extra", "lora"],
        ["--extra", "lora=yes"],
    ],
)
def test_options_out_of_range_are_wrong_usage(
    server: Server, finetune: Finetune, options: list[str]
) -> None:
    assert finetune("train", "--model", MODEL, *options).code == 2
    assert server.requests == []


def damage(folder: Path, kind: str) -> None:
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
        document = orjson.loads((folder / "manifest.json").read_bytes())
        document["files"]["train.jsonl"]["bytes"] = 9 << 30
        (folder / "manifest.json").write_bytes(orjson.dumps(document))
    elif kind == "both":
        export(folder, [f"title {n}" for n in range(12)], ["a", "title 5"])
    elif kind == "no folder":
        folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize("command", [["upload"], ["train", "--model", MODEL, "--yes"]])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("changed", "train.jsonl: sha256 "),
        ("shortened", "valid.jsonl: sha256 "),
        ("missing", "valid.jsonl: No such file or directory, but it is in the mani"),
        ("no manifest", "manifest.json: No such file or directory"),
        ("wrong manifest", "manifest.json: not a manifest of finetune export"),
        ("too few", "9 examples, but fine-tuning takes 10 or more"),
        ("too large", "train.jsonl: 9,216 MB, but 127.0.0.1 takes 8,192"),
        ("both", "valid.jsonl:2: also an example of files/train.jsonl:6"),
        ("no folder", "files: No such file or directory; run finetune export"),
    ],
)
def test_files_that_are_not_as_exported_are_refused_before_a_byte_is_sent(
    server: Server,
    finetune: Finetune,
    folder: Path,
    command: list[str],
    kind: str,
    said: str,
) -> None:
    damage(folder, kind)
    result = finetune(*command)
    assert (result.code, server.requests) == (1, [])
    assert said in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["api.openai.com/v1", "ftp://x", "http://[", "http://x:y"]
)
def test_a_base_url_that_is_none_is_refused(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    result = finetune("upload")
    assert (result.code, server.requests) == (1, [])
    assert "OPENAI_BASE_URL is not an address" in result.err


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("http://me.openai.azure.com/openai/v1/", [], "Azure wants the kind"),
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
def test_what_is_known_of_a_provider_is_said(
    server: Server,
    finetune: Finetune,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    options: list[str],
    said: str,
) -> None:
    # The server stands in for a proxy, so that nothing leaves the loopback.
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    server.models["a-model"] = {"id": "a-model", "object": "model"}
    assert finetune("upload").code == 0
    result = finetune("train", "--model", "a-model", "--yes", *options)
    assert result.code == 0
    assert len(server.jobs) == 1
    if said:
        assert f"warning: {said}" in result.err
    else:
        assert "warning: Azure wants" not in result.err
        assert "warning: Nebius" not in result.err


def test_user_and_query_of_the_base_url_are_not_shown(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = server.url.replace("://", "://user:hidden@")
    monkeypatch.setenv("OPENAI_BASE_URL", secret)
    result = finetune("upload")
    assert "hidden" not in result.err + result.out
