"""The export: exact bytes, complete or absent files, a manifest with their hashes."""

import fcntl
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests import oracle
from tests.workspace import REPOSITORY, Workspace, json_lines

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = REPOSITORY / "exporter" / "manifest.schema.json"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def manifest(files: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((files / "manifest.json").read_bytes())
    return document


def test_the_bytes_are_those_of_the_golden_files(workspace: Workspace) -> None:
    texts = [
        ("Desk lamp", 'A "bright" lamp \\ with\ttabs\nand lines'),
        ("Desk lamp", "Line\u2028separator\u2029and\x85next line\x7f\x01"),
        ("Desk lamp", "日本語の説明文です。とても明るい"),
        ("Öllampe", "مصباح مكتبي ساطع"),
        ("Öllampe", "<b>5 &lt; 6</b> 👩‍👩‍👧 done"),
    ]
    workspace.insert([(f"u{i}", t, d) for i, (t, d) in enumerate(texts)])
    workspace.build("--vars", "{min_title_occurrences: 2, validation_percent: 50}")
    files = workspace.export("--system-prompt", "Say “hi”.")
    for name in ("clean.jsonl", "train.jsonl", "valid.jsonl"):
        assert (files / name).read_bytes() == (GOLDEN / name).read_bytes()


def test_a_second_export_gives_the_same_bytes(sample: Workspace) -> None:
    first = contents(sample.export())
    second = contents(sample.export())
    for name in ("clean.jsonl", "train.jsonl"):
        assert first[name] == second[name]


def test_the_manifest_follows_its_schema_and_has_the_hashes_of_the_files(
    sample: Workspace,
) -> None:
    files = sample.export()
    document = manifest(files)
    jsonschema.validate(document, json.loads(SCHEMA.read_bytes()))
    for name, facts in document["files"].items():
        data = (files / name).read_bytes()
        assert facts == {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "lines": data.count(b"\n"),
        }
    assert document["splits"]["train"]["pairs"] == document["funnel"][-1]["rows_after"]
    assert document["splits"]["train"]["titles"] == 12
    assert document["gate"]["ran"] is True
    warned = [t["name"] for t in document["gate"]["tests"] if t["status"] != "pass"]
    assert warned == ["training_pairs_description_holds_no_html"]


def test_the_manifest_names_no_host_user_or_password(sample: Workspace) -> None:
    text = (sample.export("--no-system") / "manifest.json").read_text()
    for name in ("PGHOST", "PGUSER", "PGPASSWORD"):
        value = sample.environment.get(name)
        assert not value or f'"{value}"' not in text


def test_the_prompt_can_be_given_as_text_or_file_or_left_out(sample: Workspace) -> None:
    (sample.folder / "prompt.txt").write_text("Beschreibe!\n", encoding="utf-8")
    for options, prompt in [
        (["--system-prompt", "Describe."], "Describe."),
        (["--system-prompt-file", "prompt.txt"], "Beschreibe!"),
        (["--no-system"], None),
    ]:
        files = sample.export(*options)
        first = json.loads((files / "train.jsonl").read_bytes().splitlines()[0])
        roles = {m["role"]: m["content"] for m in first["messages"]}
        assert roles.get("system") == prompt
        assert manifest(files)["system_prompt"] == prompt
        assert list(roles)[-2:] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--system-prompt", "a", "--no-system"], "give only one"),
        (["--system-prompt", " "], "give a text, or --no-system"),
        (["--system-prompt", "a\udcff"], "'--system-prompt': a\\udcff is not UTF-8"),
        (["--frobnicate"], "No such option"),
    ],
)
def test_wrong_usage_exits_with_2(
    sample: Workspace, options: list[str], message: str
) -> None:
    done = sample.finetune("export", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_prompt_is_utf8_in_every_locale(sample: Workspace) -> None:
    sample.environment |= {"LC_ALL": "C", "PYTHONUTF8": "0"}
    sample.environment |= {"PYTHONCOERCECLOCALE": "0"}
    files = sample.export("--system-prompt", "Höflich 日")
    assert manifest(files)["system_prompt"] == "Höflich 日"


def test_lines_of_the_clean_file_name_their_raw_rows(sample: Workspace) -> None:
    sample.build("--vars", "{validation_percent: 30}")
    files = sample.export()
    clean = json_lines(files / "clean.jsonl")
    raw: dict[tuple[str, str], list[str]] = {}
    for uid, title, content in sample.sql("select uid, title, content from product"):
        pair = (oracle.trimmed(title or ""), oracle.trimmed(content or ""))
        raw.setdefault(pair, []).append(uid)
    for split, name in [("train", "train.jsonl"), ("validation", "valid.jsonl")]:
        examples = json_lines(files / name)
        lineage = [line for line in clean if line["split"] == split]
        assert len(examples) == len(lineage) > 0
        numbers = range(len(examples))
        random.seed(1)
        for n in random.sample(numbers, min(50, len(examples))):
            *_, user, assistant = examples[n]["messages"]
            pair = (user["content"], assistant["content"])
            assert pair == (lineage[n]["title"], lineage[n]["description"])
            assert lineage[n]["copies"] == len(raw[pair])
            assert lineage[n]["first_uid"] == min(raw[pair])


def test_the_validation_file_comes_and_goes_with_the_split(sample: Workspace) -> None:
    sample.build("--vars", "{validation_percent: 30}")
    files = sample.export()
    assert manifest(files)["splits"]["validation"]["titles"] > 0
    assert (files / "valid.jsonl").exists()
    sample.build("--vars", "{validation_percent: 0}")
    sample.export()
    assert sorted(contents(files)) == ["clean.jsonl", "manifest.json", "train.jsonl"]


def test_a_title_keeps_its_side_when_rows_are_added(sample: Workspace) -> None:
    sides = "select distinct title, split from finetune.training_pairs order by 1"
    sample.build("--vars", "{validation_percent: 30}")
    before = dict(sample.sql(sides))
    sample.insert([(None, f"new {i % 20}", f"description {i}") for i in range(400)])
    sample.build("--vars", "{validation_percent: 30}")
    after = dict(sample.sql(sides))
    assert {title: after[title] for title in before} == before
    assert len(after) == len(before) + 20


def test_an_empty_result_writes_nothing_and_shows_the_rule_that_dropped_the_last_rows(
    sample: Workspace,
) -> None:
    before = contents(sample.export())
    sample.build("--vars", "{min_title_occurrences: 1000}")
    done = sample.finetune("export")
    assert done.returncode == 1
    assert "title_repeated dropped the last rows, such as:" in done.stderr
    assert "title='GNOME" in done.stderr
    assert "no pair to train on, so nothing was written; relax title_repeated, or" in (
        done.stderr
    )
    assert contents(sample.folder / "files") == before


def test_few_examples_are_written_with_a_warning(workspace: Workspace) -> None:
    workspace.insert([(None, "lamp", f"a bright lamp {i}") for i in range(3)])
    workspace.build("--vars", "{min_title_occurrences: 3}")
    done = workspace.finetune("export")
    assert done.returncode == 0
    assert "warning: 3 training examples; openai, azure, nebius" in done.stderr


def test_a_full_disk_leaves_the_old_files(sample: Workspace) -> None:
    before = contents(sample.export())
    export_to_full_disk(sample)
    assert contents(sample.folder / "files") == before
    # With so many rows, the disk is full while the server still sends.
    sample.insert(
        [(None, f"lamp {i % 9}", f"{i} {'bright ' * 300}") for i in range(5000)]
    )
    sample.build()
    export_to_full_disk(sample)
    assert contents(sample.folder / "files") == before


def export_to_full_disk(workspace: Workspace) -> None:
    done = workspace.finetune(
        "export",
        "--no-system",
        limits=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "finetune: files: cannot write: File"
    )


def test_a_folder_that_cannot_be_written_is_named_before_the_gate(
    sample: Workspace,
) -> None:
    (sample.folder / "taken").write_text("a file")
    (sample.folder / "dangling").symlink_to("absent/files")
    (sample.folder / "loop").symlink_to("loop")
    (sample.folder / "full" / "valid.jsonl").mkdir(parents=True)
    (sample.folder / "piped").mkdir()
    os.mkfifo(sample.folder / "piped" / "manifest.json")
    long = "n" * 300
    for folder, reason in [
        ("taken/files", "taken/files: cannot write: Not a directory"),
        ("dangling", "dangling: cannot write: Not a directory"),
        ("loop", "loop: cannot write: Not a directory"),
        (long, f"{long}: cannot write: File name too long"),
        ("full", "full/valid.jsonl: exists and is not a plain file"),
        ("piped", "piped/manifest.json: exists and is not a plain file"),
    ]:
        done = sample.finetune("export", "-o", folder)
        assert (done.returncode, done.stdout) == (1, "")
        [line] = done.stderr.splitlines()
        assert line.startswith(f"finetune: {reason}")


def test_a_second_export_into_a_locked_folder_is_refused(sample: Workspace) -> None:
    files = sample.export()
    descriptor = os.open(files, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = sample.finetune("export")
    finally:
        os.close(descriptor)
    assert done.returncode == 1
    assert "another command is writing there" in done.stderr


@pytest.mark.parametrize(
    "signal_number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
)
def test_a_killed_export_leaves_the_old_files(
    signal_number: signal.Signals, sample: Workspace
) -> None:
    before = contents(sample.export())
    # Every row is slow, so that the signal comes in the middle.
    sample.sql(
        "create or replace function slow(text) returns text stable language sql as"
        " 'select $1 from pg_sleep(0.05)'"
    )
    definition = sample.sql("select pg_get_viewdef('finetune.training_pairs')")[0][0]
    slow = definition.replace(
        "    description,", "    slow(description) as description,"
    )
    assert slow != definition
    sample.sql(f"create or replace view finetune.training_pairs as {slow}")
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", "export", "--no-gate"],
        cwd=sample.folder,
        env=sample.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    part = sample.folder / "files" / ".train.jsonl.part"
    deadline = time.monotonic() + 20
    while not part.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert part.exists()
    process.send_signal(signal_number)
    assert process.wait(timeout=20) != 0
    after = contents(sample.folder / "files")
    visible = {name: data for name, data in after.items() if name[0] != "."}
    assert visible == before
    if signal_number != signal.SIGKILL:
        assert after == before
    shutil.rmtree(sample.folder / "files")


def test_files_follow_the_umask(sample: Workspace) -> None:
    files = sample.folder / "private"
    done = sample.finetune(
        "export", "-o", files, limits=lambda: (os.umask(0o077), None)[1]
    )
    assert done.returncode == 0
    modes = {path.stat().st_mode & 0o777 for path in files.iterdir()}
    assert (files.stat().st_mode & 0o777, modes) == (0o700, {0o600})
