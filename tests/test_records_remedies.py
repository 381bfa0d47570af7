"""The command that a refusal names gives every row of the file, when it is pasted."""

import gzip
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.errors import FinetuneError
from tests.rows import COLUMNS, Row, rows_in

LAMP: Mapping[str, object] = {"uid": "1", "title": "lamp", "content": None}
DESK: Mapping[str, object] = {"uid": "2", "title": 'a "desk"', "content": "oak\n"}
ROWS: list[Row] = [("1", "lamp", None), ("2", 'a "desk"', "oak\n")]
CSV = 'uid,title,content\n1,lamp,\n2,"a ""desk""","oak\n"\n'


def array(**changed: object) -> bytes:
    return json.dumps([LAMP, DESK, {**DESK, "uid": 3, **changed}]).encode()


def lines(*values: object) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def document(value: object) -> bytes:
    return json.dumps(value).encode()


# The files, and the third row of those that have one.
FILES: dict[str, tuple[bytes, Row | None]] = {
    "an object as title": (
        lines(LAMP, DESK, {**DESK, "uid": 3, "title": {"en": 1}}),
        ("3", '{"en":1}', "oak\n"),
    ),
    "lists as content": (
        array(content=["oak", None, 2, ["a"], {"b": ""}]),
        ("3", 'a "desk"', 'oak\n2\n["a"]\n{"b":""}'),
    ),
    "an object in an array": (array(title={"en": 1}), ("3", '{"en":1}', "oak\n")),
    "a fraction in an array": (array(title=2.5), ("3", "2.5", "oak\n")),
    "false": (array(title=False), ("3", "false", "oak\n")),
    "NaN": (array(content=float("nan")), ("3", 'a "desk"', None)),
    "infinity": (array(content=float("-inf")), ("3", 'a "desk"', None)),
    "nulls left out": (lines({"uid": 1, "title": "lamp"}, DESK), None),
    "nulls left out of an array": (
        document([{"uid": 1, "title": "lamp"}, DESK]),
        None,
    ),
    "arrays one after the other": (lines([LAMP], [DESK]), None),
    "rows below other lists": (
        document({"schema": {"fields": [{"name": "uid"}]}, "data": [LAMP, DESK]}),
        None,
    ),
    "rows in objects of a list": (
        document({"hits": {"hits": [{"_source": LAMP}, {"_source": DESK}]}}),
        None,
    ),
    "rows in one key of each line": (
        lines({"n": 1, "row": LAMP}, {"n": 2, "row": DESK}),
        None,
    ),
    "rows below a title": (
        document({"title": "shop", "products": [LAMP, DESK]}),
        None,
    ),
    "rows under several keys": (
        document({"n": 2, "first": LAMP, "more": [DESK]}),
        None,
    ),
    "rows five keys deep": (
        document({"a": {"b": {"c": {"d": {"e": [LAMP, DESK]}}}}}),
        None,
    ),
    "compressed and in UTF-16": (
        gzip.compress(json.dumps({"rows": [LAMP, DESK]}).encode("utf-16")),
        None,
    ),
    "lines above the header": (f"# Products\n\n{CSV}".encode(), None),
    "a padded line above it": (f"Products 2026,,\n,,\n{CSV}".encode(), None),
    "lines of fields above it": (gzip.compress(f"Shop,2026\n,\n{CSV}".encode()), None),
    "compressed Windows text": (
        gzip.compress(CSV.replace("lamp", "l\xe4mp").encode("cp1252")),
        None,
    ),
}


def refusal(path: Path) -> str:
    """Return why a file, or its first bad line, is refused."""
    try:
        _, [reject, *_], _ = rows_in(path)
    except FinetuneError as error:
        return str(error)
    return str(reject)


@pytest.mark.parametrize("name", FILES)
def test_the_command_of_a_refusal_gives_every_row(name: str, tmp_path: Path) -> None:
    content, third = FILES[name]
    path = tmp_path / "the rows.json"
    path.write_bytes(content)
    message = refusal(path)
    found = re.search(r"(?:jq|gzip|tail) .*> NEW", message)
    assert found, message
    subprocess.run(["sh", "-ec", found[0]], cwd=tmp_path, check=True)
    rows, rejects, _ = rows_in(tmp_path / "NEW")
    assert rejects == []
    wanted = [*ROWS, third] if third else ROWS
    assert [tuple((f or "").replace("\xe4", "a") or None for f in r) for r in rows] == (
        wanted
    )


def test_an_array_may_end_with_a_comma(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(array()[:-1] + b",\n]\n")
    rows, _, _ = rows_in(path)
    assert rows[:2] == ROWS


REFUSED = {
    "unknown compression": (
        bytes(range(1, 40)) * 20,
        "binary, not text; write its rows as CSV or JSON Lines",
    ),
    "text after an array": (array() + b"\nx", "rows.json:2: not a JSON array: text "),
    "half a pair in UTF-16": (
        "uid,title,content\n1,a\ud800,b\n".encode("utf-16", "surrogatepass"),
        "rows.json:2: contains half of a surrogate pair",
    ),
    "rows above a header": (
        b"1,a,b\nuid,title,content\n2,c,d\n",
        "rows.json:1: no column uid; the file has 1, a, b",
    ),
    "lists of other objects in each row": (
        lines({"sku": 1, "images": [{"a": 1}]}, {"sku": 2, "images": [{"a": 1}]}),
        "rows.json:1: key 'uid' is missing; the object has sku, images: name yours",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_what_is_wrong(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    assert message in refusal(path)


def test_the_unit_separator_may_separate_fields(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\x1f".join(COLUMNS) + "\n1\x1flamp, bright\x1f\n")
    assert rows_in(path)[0] == [("1", "lamp, bright", None)]
