"""Any bytes can be checked, in memory that does not grow with the file or a line."""

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.checking import files as check_module
from exporter.checking.files import check_file
from exporter.checking.rules import Finding, read_rules
from exporter.tokens import Tally, counter
from tests.corpus import good, lines

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
def test_json_of_any_shape_is_checked_without_a_crash(
    rows: list[Any], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "\n".join(json.dumps(row) for row in rows).encode()
    judge_bytes(text[: len(text) - cut], tmp_path_factory)


@settings(max_examples=150)
@given(content=st.binary(max_size=200))
def test_bytes_of_any_shape_are_checked_without_a_crash(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    judge_bytes(content, tmp_path_factory)


def test_damaged_files_are_checked_without_a_crash(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
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
    check_file(path, read_rules(), found.append, tally.add)
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
    assert peaks[1] - peaks[0] < 16


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
