import gzip
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.chat import chat_line
from exporter.checking import files as check_module
from exporter.checking.files import check_file
from exporter.checking.leaks import check_leaks
from exporter.checking.lines import examine
from exporter.checking.plain import plain
from exporter.checking.rules import Finding, read_rules
from exporter.tokens import Tally, counter
from tests.conftest import REPOSITORY, SHARED_DATA
from tests.corpus import (
    Case,
    chat,
    clean,
    encoded,
    faulty,
    good,
    lines,
    message,
    rows_in,
)

RULES = read_rules()
FINETUNE = Path(sys.executable).with_name("finetune")


def findings_of(path: Path, *readers: str) -> list[Finding]:
    found: list[Finding] = []
    check_file(path, read_rules(readers) if readers else RULES, found.append)
    return found


def finetune(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FINETUNE, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.mark.parametrize("case", faulty(), ids=lambda case: case.name)
def test_a_fault_is_found_in_its_line_and_key_and_nothing_else(
    case: Case, tmp_path: Path
) -> None:
    path = tmp_path / case.file
    path.write_bytes(case.content)
    found = findings_of(path)
    own = [f for f in found if f.rule == case.rule]
    assert {f.rule for f in found} == {case.rule} | case.also
    assert (own[0].line, own[0].key) == (case.line, case.key)
    assert all(finding.file == str(path) for finding in found)


@pytest.mark.parametrize("name", clean())
def test_nothing_is_found_in_a_clean_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(clean()[name])
    found = [f for f in findings_of(path) if f.rule != "duplicate-example"]
    assert found == []


def test_the_corpus_holds_every_rule_that_a_file_alone_can_break() -> None:
    elsewhere = {
        "file-too-large",
        "leak-answer",
        "leak-row",
        "leak-title",
        "manifest",
        "reserved-word",
        "row-form",
        "too-many-examples",
        "too-many-tokens",
    }
    broken = {case.rule for case in faulty()} | {
        rule for case in faulty() for rule in case.also
    }
    assert broken == set(RULES.rules) - elsewhere
    assert len({case.name for case in faulty()}) == len(faulty()) >= 60
    assert len(clean()) >= 20


def test_every_rule_and_reader_names_a_source_with_its_date() -> None:
    import yaml  # noqa: PLC0415

    path = REPOSITORY / "exporter/checking/rules.yml"
    table = yaml.safe_load(path.read_text("utf-8"))
    for rule in table["rules"].values():
        assert table["sources"][rule["source"]]["verified"]
    for reader in RULES.readers.values():
        assert reader.sources[0]["read"] <= date(2026, 11, 25)


def test_the_quick_look_never_passes_what_the_close_look_minds() -> None:
    for case in faulty():
        for line in case.content.splitlines(keepends=True):
            if plain(line) is not None:
                assert examine(line)[1] == [], case.name


def test_our_own_lines_of_every_data_set_are_clean(tmp_path: Path) -> None:
    sources = [REPOSITORY / "examples/products.csv"]
    if SHARED_DATA.exists():
        sources += sorted(SHARED_DATA.glob("*.jsonl.gz"))
    for source in sources:
        path = tmp_path / "train.jsonl"
        with path.open("wb") as file:
            for _, title, text in pairs(source):
                file.write(
                    chat_line(
                        system="You write product descriptions.",
                        title=title,
                        description=text,
                    )
                )
        wrong = [f for f in findings_of(path) if f.severity == "error"]
        assert wrong == []


def pairs(source: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the first distinct pairs of a file that are not blank."""
    seen: set[tuple[str, str]] = set()
    for _, title, content in rows_in(source)[0]:
        pair = ((title or "").strip(), (content or "").strip())
        if all(pair) and pair not in seen and len(seen) < 5_000:
            seen.add(pair)
            yield len(seen), *pair


def test_the_readers_that_refuse_are_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(lines(3)))
    openai, mlx = findings_of(path)[::-1]
    assert (openai.readers, openai.severity) == (["openai", "azure", "nebius"], "error")
    assert mlx.message == "fewer than 4 examples: 3 (mlx: fewer are refused)"
    assert findings_of(path, "trl", "together") == []


def test_a_reader_that_only_suffers_gives_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(lines(12)) + good(1).replace(b"}]}", b'}],"x":1}'))
    assert [f.severity for f in findings_of(path, "trl")] == ["warning"]
    assert [f.severity for f in findings_of(path, "together")] == ["error"]


def test_a_large_file_is_refused_by_those_with_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(lines(12)))
    small = replace(RULES.readers["azure"], limits={"bytes": 100})
    rules = RULES._replace(readers={**RULES.readers, "azure": small})
    found: list[Finding] = []
    check_file(path, rules, found.append)
    assert [(f.rule, f.readers) for f in found] == [("file-too-large", ["azure"])]


def test_what_stands_in_training_and_validation_is_found_once_a_kind(
    tmp_path: Path,
) -> None:
    train, valid = tmp_path / "train.jsonl", tmp_path / "valid.jsonl"
    train.write_bytes(b"".join(lines(12)))
    both = [
        good(3),
        encoded(chat(message("user", "Bag number 5"), message("assistant", "X"))),
        encoded(chat(message("user", "Sack"), message("assistant", "Bag 7."))),
        encoded(
            chat(
                message("user", "Bag number 9"),
                message("assistant", "Bag 9.", weight=1),
            )
        ),
    ]
    valid.write_bytes(b"".join(both) + b"".join(good(n) for n in range(100, 110)))
    found: list[Finding] = []
    contents = [check_file(path, RULES, found.append) for path in (train, valid)]
    found.clear()
    check_leaks(contents, RULES, found.append)
    assert [(f.rule, f.line, f.key, f.severity) for f in found] == [
        ("leak-row", 1, None, "error"),
        ("leak-title", 2, "messages", "warning"),
        ("leak-title", 4, "messages", "warning"),
        ("leak-answer", 3, "messages", "warning"),
        ("leak-answer", 4, "messages", "warning"),
    ]
    assert f"question also in {train}:5 " in found[1].message
    assert f"answer also in {train}:7 " in found[3].message


def test_thousands_of_equal_findings_are_counted(tmp_path: Path) -> None:
    bad = encoded(chat(message("user", "Bag")))
    (tmp_path / "train.jsonl").write_bytes(b"".join(lines(12)) + bad * 2_000)
    result = finetune("check", "train.jsonl", "--for", "openai", cwd=tmp_path)
    shown = result.stdout.splitlines()
    assert len(shown) == 8
    assert shown[0].startswith("train.jsonl:13: messages: no assistant message")
    assert shown[3] == "... and 1,997 more like this"
    assert result.returncode == 1
    assert "errors: 2,000, warnings: 1,999" in result.stderr


def test_json_is_a_finding_a_line_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b"".join(lines(2)) + b"{}\n" * 5)
    result = finetune("check", "--json", "train.jsonl", cwd=tmp_path)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert len([f for f in found if f["rule"] == "messages-missing"]) == 5
    keys = ["file", "line", "key", "rule", "severity", "readers", "message", "fix"]
    assert all(list(finding) == keys for finding in found)
    assert found[-1]["severity"] == "warning"


def test_warnings_alone_exit_with_0_and_unknown_readers_with_2(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b"".join(lines(12))[:-1])
    assert finetune("check", "train.jsonl", cwd=tmp_path).returncode == 0
    wrong = finetune("check", "train.jsonl", "--for", "gpt", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "gpt is not a reader; the readers are openai, azure" in wrong.stderr
    missing = finetune("check", "none.jsonl", cwd=tmp_path)
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1


def test_without_a_file_the_last_export_is_checked_by_its_manifest(
    tmp_path: Path,
) -> None:
    write_export(tmp_path / "files")
    fine = finetune("check", cwd=tmp_path)
    assert (fine.returncode, fine.stdout) == (0, "")
    train = tmp_path / "files/train.jsonl"
    train.write_bytes(train.read_bytes().replace(b"Bag 7.", b"Bug 7."))
    changed = finetune("check", cwd=tmp_path)
    assert changed.returncode == 1
    assert changed.stdout.startswith("files/train.jsonl: sha256 ")
    train.unlink()
    gone = finetune("check", "--json", cwd=tmp_path)
    assert json.loads(gone.stdout)["rule"] == "manifest"
    (tmp_path / "files/manifest.json").write_text("{}")
    none = finetune("check", cwd=tmp_path)
    assert none.returncode == 1
    assert "files/manifest.json: not a manifest" in none.stderr


def write_export(folder: Path) -> None:
    """Write an export as small as can be, with its manifest."""
    import hashlib  # noqa: PLC0415

    folder.mkdir()
    rows = lines(12)
    clean_rows = [
        encoded({"split": "train", "first_uid": f"uid-{n}"}) for n in range(1, 13)
    ]
    facts = {}
    for name, content in {"clean.jsonl": clean_rows, "train.jsonl": rows}.items():
        whole = b"".join(content)
        (folder / name).write_bytes(whole)
        facts[name] = {
            "sha256": hashlib.sha256(whole).hexdigest(),
            "bytes": len(whole),
            "lines": len(content),
        }
    manifest = {
        "files": facts,
        "splits": {"train": {"pairs": 12}},
        "git_commit": None,
        "tool": "finetune-exporter",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_line_of_many_megabytes_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "train.jsonl"
    long = [b"{" * size + b"\n" for size in (999, 1000, 1001, 2001, 5000)]
    path.write_bytes(b"".join(lines(12)) + b"".join(long) + b"x" * 3000)
    found = [(f.rule, f.line) for f in findings_of(path)]
    assert found == [("not-json", 13), *[("line-too-long", n) for n in range(14, 19)]]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["user", "assistant", "system", "text", "\ud800", ""]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["messages", "role", "content", "weight", "type", "text"])
            | st.text(),
            inner,
        )
    ),
    max_leaves=12,
)

messages_of_any_shape = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["system", "user", "assistant", "tool"])
                    | json_values,
                    "content": st.text(min_size=1)
                    | st.sampled_from(["<|x|>", "<\uff5c\ud800\uff5c>", "2026-01-01"])
                    | json_values,
                },
                optional={"weight": json_values, "name": json_values},
            ),
            max_size=4,
        )
    }
)


@settings(max_examples=120)
@given(
    rows=st.lists(messages_of_any_shape | json_values, max_size=4),
    cut=st.just(0) | st.integers(0, 40),
)
def test_json_of_any_shape_is_judged(
    rows: list[Any], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "\n".join(json.dumps(row) for row in rows).encode()
    judge_bytes(text[: len(text) - cut], tmp_path_factory)


@settings(max_examples=150)
@given(content=st.binary(max_size=200))
def test_bytes_of_any_shape_are_judged(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    judge_bytes(content, tmp_path_factory)


def test_damaged_files_are_judged(tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random(7)  # noqa: S311
    whole = b"".join(lines(30))
    packed = gzip.compress(whole, mtime=0)
    for original in (whole, packed):
        for _ in range(200):
            damaged = bytearray(original)
            for _ in range(chance.randint(1, 8)):
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            judge_bytes(bytes(damaged), tmp_path_factory)
            judge_bytes(original[: chance.randrange(len(original))], tmp_path_factory)


def judge_bytes(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Check a file; one without an error is examples, and nothing but JSON."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.jsonl"
    path.write_bytes(content)
    found: list[Finding] = []
    tally = Tally(counter("no such encoding"))
    check_file(path, RULES, found.append, tally.add)
    for finding in found:
        assert "\n" not in orjson.dumps(finding._asdict()).decode()
    if not any(finding.severity == "error" for finding in found):
        for line in content.split(b"\n")[:-1]:
            assert json.loads(line)["messages"]


def test_hostile_lines_do_not_fill_the_memory(tmp_path: Path) -> None:
    most = check_module.MAX_LINE_BYTES - 20
    keys = b",".join(b'"%d":1' % number for number in range(250_000))
    hostile = {
        "lists": b"[" + b"[]," * (most // 3) + b"[]]\n",
        "texts": b"[" + b'"ab",' * (most // 5) + b'""]\n',
        "keys": b"{" + keys[: most - 1] + b"}\n",
        "same": b"{" + b'"a":1,' * (most // 6) + b'"a":1}\n',
        "messages": b'{"messages":[' + b"0," * (most // 2 - 10) + b"0]}\n",
        "objects": b'{"messages":[' + b"{}," * (most // 3 - 10) + b"0]}\n",
        "deep": b'{"messages":' * (most // 12) + b"\n",
        "one line": b"x" * (40 << 20),
    }
    for name, content in hostile.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(good(1) + content * 2)
    peak = peak_megabytes(
        "from exporter.checking.files import check_file;"
        "from exporter.checking.rules import read_rules;"
        "[check_file(Path(p), read_rules(), lambda f: None) for p in sys.argv[1:]];",
        *sorted(tmp_path.glob("*.jsonl")),
    )
    assert peak < 250


def test_the_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for count in (1_000, 60_000):
        path = tmp_path / f"{count}.jsonl"
        with path.open("wb") as file:
            for number in range(count):
                file.write(good(number).replace(b"Bag ", b"Bag " * 50))
        peaks.append(
            peak_megabytes(
                "from exporter.checking.files import check_file;"
                "from exporter.checking.rules import read_rules;"
                "check_file(Path(sys.argv[1]), read_rules(), lambda f: None);",
                path,
            )
        )
    assert path.stat().st_size > 20 << 20
    assert peaks[1] - peaks[0] < 8


def peak_megabytes(script: str, *arguments: object) -> int:
    """Run a script in a Python of its own and return what memory it took."""
    measure = (
        "status = Path('/proc/self/status');"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', status.read_text())"
        " if status.exists() else None;"
        "print(int(peak[1]) >> 10 if peak else"
        " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20)"
    )
    imports = "import re, resource, sys; from pathlib import Path;"
    result = subprocess.run(
        [sys.executable, "-c", f"{imports}{script}{measure}", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout)
