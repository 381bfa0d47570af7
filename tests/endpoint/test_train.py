"""What train requests: one job for each request, with its options; what it refuses."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.endpoint.conftest import MODEL, Finetune, export, sha256
from tests.endpoint.server import Server


def test_a_dry_run_prints_the_exact_request_and_creates_nothing(
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


def test_null_removes_a_key_from_the_request(
    server: Server, finetune: Finetune
) -> None:
    assert server.url
    finetune("upload")
    options = ["--extra", "method=null", "--extra", 'hyperparameters={"lora":true}']
    body = orjson.loads(finetune("train", "--model", MODEL, "--dry-run", *options).out)
    assert "method" not in body
    assert body["hyperparameters"] == {"lora": True}


def test_metadata_can_be_left_out_of_the_request(
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
    assert f"by the same request and is {status}; add --again to create" in second.err
    assert len(server.jobs) == 31
    server.exchanges.clear()  # The description has no status "pending".


@pytest.mark.parametrize("options", [["--again"], ["--seed", "3"], ["--epochs", "2"]])
def test_a_job_of_another_request_is_created(
    server: Server, finetune: Finetune, options: list[str]
) -> None:
    finetune("upload")
    finetune("train", "--model", MODEL, "--yes")
    assert finetune("train", "--model", MODEL, "--yes", *options).code == 0
    assert len(server.jobs) == 2


@pytest.mark.parametrize(
    ("training", "validation"),
    [("other", ["a", "b", "c"]), ("title", ["a", "b", "d"]), ("title", [])],
)
def test_a_job_of_other_files_is_created(
    server: Server,
    finetune: Finetune,
    folder: Path,
    training: str,
    validation: list[str],
) -> None:
    finetune("upload")
    finetune("train", "--model", MODEL, "--yes")
    export(folder, [f"{training} {n}" for n in range(12)], validation)
    finetune("upload")
    second = finetune("train", "--model", MODEL, "--yes")
    assert finetune("train", "--model", MODEL, "--yes").out == second.out
    assert [*server.jobs][1:] == [second.out.strip()]
    sent = server.jobs[second.out.strip()]
    assert bool(sent["validation_file"]) == bool(validation)
    assert sent["metadata"]["dataset_sha256"] == sha256(folder / "train.jsonl")


@pytest.mark.parametrize("status", ["failed", "cancelled", "canceled"])
def test_a_job_is_created_again_after_one_that_ended_without_a_model(
    server: Server, finetune: Finetune, status: str
) -> None:
    finetune("upload")
    server.course = [status]
    first = finetune("train", "--model", MODEL, "--yes")
    second = finetune("train", "--model", MODEL, "--yes")
    assert first.out + second.out == "".join(f"{job}\n" for job in server.jobs)
    server.exchanges.clear()  # The description spells cancelled with two l.


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ([], {"model": "gpt-4.1-mini-2025-04-1x"}),
        ([], {"training_file": "file-other"}),
        ([], {"validation_file": None}),
        (["--seed", "7"], {"seed": 8}),
        (["--suffix", "mugs"], {"user_provided_suffix": "jugs"}),
    ],
)
def test_without_metadata_a_job_that_differs_is_not_equal(
    server: Server,
    finetune: Finetune,
    options: list[str],
    difference: dict[str, object],
) -> None:
    train, valid = finetune("upload").out.split()
    same: dict[str, object] = {"model": MODEL, "seed": 7}
    same |= {"training_file": train, "validation_file": valid}
    same |= {"user_provided_suffix": "mugs"}
    server.add_job(**{**same, **difference})
    command = ["train", "--model", MODEL, "--yes", *options]
    created = finetune(*command).out.strip()
    assert created == [*server.jobs][-1]
    assert len(server.jobs) == 2
    del server.jobs[created]
    equal = server.add_job(**same)
    assert finetune(*command).out.strip() == equal["id"]
    server.exchanges.clear()  # The description has no such key of a job.


@pytest.mark.parametrize("model", [MODEL, "gpt-4.1-mini"])
def test_without_metadata_a_job_of_equal_model_and_files_is_equal(
    server: Server, finetune: Finetune, model: str
) -> None:
    server.models[model] = {"id": model, "object": "model"}
    train, valid = finetune("upload").out.split()
    files = {"training_file": train, "validation_file": valid}
    job = server.add_job(model=MODEL, **files)
    server.add_job(model=MODEL, training_file=train)
    server.add_job(model="gpt-4.1-mini-large", **files)
    assert finetune("train", "--model", model, "--yes").out.strip() == job["id"]


def test_without_a_terminal_training_needs_yes(
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


def test_train_can_follow_the_job_until_it_ends(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    server.course = ["failed"]
    result = finetune("train", "--model", MODEL, "--yes", "--watch")
    assert result.code == 1
    assert f"{next(iter(server.jobs))}: failed" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suffix", "x" * 65], "`str` of length <= 64 - at `$.suffix`; change --suf"),
        (["--suffix", ""], "`str` of length >= 1 - at `$.suffix`"),
        (["--extra", "suffix=5"], "`str | null`, got `int` - at `$.suffix`"),
        (["--extra", f'metadata={{"a":"{"x" * 513}"}}'], "`str` of length <= 512"),
        (["--extra", f'metadata={{"{"k" * 65}":"x"}}'], "`str` of length <= 64 - at"),
        (["--extra", 'metadata={"a":1}'], "Expected `str`, got `int` - at `$.metadata"),
        (["--extra", "metadata=5"], "Expected `object`, got `int` - at `$.metadata`"),
        (["--extra", "model=null"], "Object missing required field `model`"),
        (["--extra", "training_file=null"], "required field `training_file`"),
        (
            [
                "--extra",
                f"metadata={orjson.dumps(dict.fromkeys('abcdefghijkl', 'x')).decode()}",
            ],
            "of length <= 16 - at `$.metadata`; change --suffix or --extra (five keys",
        ),
        (["--extra", "model.x=1"], "--extra model.x: model is not an object"),
    ],
)
def test_a_request_that_the_endpoint_would_refuse_is_not_sent(
    server: Server, finetune: Finetune, options: list[str], message: str
) -> None:
    finetune("upload")
    result = finetune("train", "--model", MODEL, "--yes", *options)
    assert (result.code, server.jobs) == (1, {})
    assert message in result.err


def test_a_request_at_the_limits_is_sent(server: Server, finetune: Finetune) -> None:
    finetune("upload")
    metadata = dict.fromkeys("abcdefghij", "x") | {"k" * 64: "v" * 512}
    options = ["--suffix", "x" * 64, "--seed", "2147483647", "--epochs", "50"]
    options += ["--batch-size", "256"]
    options += ["--extra", f"metadata={orjson.dumps(metadata).decode()}"]
    assert finetune("train", "--model", MODEL, "--yes", *options).code == 0
    [job] = server.jobs.values()
    assert len(job["metadata"]) == 16


@pytest.mark.parametrize(
    "options",
    [
        ["--seed", "2147483648"],
        ["--epochs", "51"],
        ["--batch-size", "257"],
        ["--learning-rate-multiplier", "0"],
        ["--extra", "lora"],
        ["--extra", "=1"],
        ["--extra", "lora=yes"],
    ],
)
def test_options_out_of_range_are_wrong_usage(
    server: Server, finetune: Finetune, options: list[str]
) -> None:
    assert finetune("train", "--model", MODEL, *options).code == 2
    assert server.requests == []
