"""The real readers and the published schema, compared with `finetune check`.

`make test-readers` makes .venv-readers and runs what is marked; the schema needs
no more than what developers have.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exporter.readers import read_readers, recipes
from tests.checked import ROWS, findings, write_rows
from tests.corpus import clean, encoded, lines
from tests.faulty import faulty
from tests.lines import chat_line
from tests.measured import PACKAGES, record
from tests.rows import pairs
from tests.workspace import REPOSITORY, SHARED_DATA

READERS = ("together", "hf-datasets", "mistral", "mlx", "trl", "tinker", "nemo")
PYTHON = REPOSITORY / ".venv-readers/bin/python"

_NO_VERDICT = "we look at no line of this length; the reader would take it"
# Where the reader and we differ, and why.
EXPLAINED = {
    **{
        (case, reader): why
        for case, why in {
            "plain text called .gz": "it believes the name",
            "array that is damaged": "it takes what stands before the damage",
        }.items()
        for reader in ("hf-datasets", "trl")
    },
    ("CONTENT", "nemo"): "it takes a message without content for an empty one",
    ("content part whose text is a number", "nemo"): "it writes the number as text",
    **{("over-long line", reader): _NO_VERDICT for reader in READERS},
    ("weight a text", "mistral"): "its model turns the text 1 into the number",
}


def real_verdicts(reader: str, paths: list[Path]) -> dict[Path, str | None]:
    """Return what the real reader said of each file; None where it took it."""
    program = Path(__file__).with_name("real_readers.py")
    result = subprocess.run(
        [PYTHON, program, reader, *paths],
        capture_output=True,
        text=True,
        env=os.environ | {"TOKENIZERS_PARALLELISM": "false"},
        check=False,
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(paths), result.stderr[-2000:]
    return {Path(answer["file"]): answer["said"] for answer in answers}


def refuses(path: Path, reader: str) -> bool:
    found = findings(path)
    return any(f.severity == "error" and reader in f.readers for f in found)


@pytest.mark.readers
@pytest.mark.parametrize("reader", READERS)
def test_the_real_reader_refuses_what_its_file_says(
    reader: str, tmp_path: Path
) -> None:
    files = {}
    for number, case in enumerate(faulty()):
        files[case.name] = tmp_path / str(number) / case.file
    for number, name in enumerate(clean()):
        files[name] = tmp_path / f"clean-{number}" / "train.jsonl"
    contents = {case.name: case.content for case in faulty()} | clean()
    for name, path in files.items():
        path.parent.mkdir()
        path.write_bytes(contents[name])
    said = real_verdicts(reader, [*files.values()])
    real = {name for name, path in files.items() if said[path] is not None}
    ours = {name for name, path in files.items() if refuses(path, reader)}
    if reader == "together":
        # Since 2.x the client leaves to the server what 1.x refused itself.
        assert len(real) > 10
        assert not real - ours
    else:
        assert real ^ ours == {name for name, who in EXPLAINED if who == reader}
    found = f"{len(real)} of {len(faulty())} faulty files refused, {len(clean())} clean"
    record("readers", reader, PYTHON, PACKAGES[reader], f"{found} ones accepted")


@pytest.mark.readers
@pytest.mark.parametrize("reader", READERS)
def test_the_real_reader_accepts_our_lines_of_every_data_set(
    reader: str, tmp_path: Path
) -> None:
    sources = [REPOSITORY / "examples/products.csv"]
    if SHARED_DATA.exists():
        sources += sorted(SHARED_DATA.glob("*.jsonl.gz"))
    files = []
    for source in sources:
        files.append(tmp_path / source.name / "train.jsonl")
        files[-1].parent.mkdir()
        with files[-1].open("wb") as file:
            for number, title, text in pairs(source):
                if number <= 400:
                    file.write(
                        chat_line(
                            system="You write product descriptions.",
                            title=title,
                            description=text,
                        )
                    )
    assert real_verdicts(reader, files) == dict.fromkeys(files)


@pytest.mark.readers
@pytest.mark.parametrize(
    ("reader", "commands"),
    [
        ("together", ["tg ft create"]),
        ("huggingface", ["hf auth login", "hf repos create", "hf upload"]),
    ],
)
def test_the_clients_know_the_options_of_their_recipes(
    reader: str, commands: list[str]
) -> None:
    text = recipes.render(
        read_readers()[reader], Path("files"), examples=12, valid_examples=3
    ).replace("\\\n", "")
    for command in commands:
        used = re.findall(rf"{command}(?= |$).*", text, re.MULTILINE)
        assert used
        name, *words = command.split()
        known = subprocess.run(
            [PYTHON.with_name(name), *words, "--help"],
            capture_output=True,
            text=True,
            env=os.environ | {"COLUMNS": "200", "HF_HUB_OFFLINE": "1"},
            check=True,
        ).stdout
        for option in re.findall(r"(?<= )--?[a-z][a-z-]*", " ".join(used)):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", known), option


@pytest.mark.readers
def test_awss_validator_of_nova_agrees_with_check(tmp_path: Path) -> None:
    words = read_readers()["nova"].reserved
    turns = ROWS["nova"]["messages"]
    changes: list[dict[str, Any]] = [
        {"schemaVersion": None},
        {"tool": 1},
        {"messages": turns[:1]},
        {"messages": turns[::-1]},
        {"messages": [{**turns[0], "role": "system"}, turns[1]]},
        {"messages": [turns[0], {**turns[1], "content": "a text"}]},
        {"messages": [turns[0], {**turns[1], "content": [{"text": ""}]}]},
        {"messages": [turns[0], {**turns[1], "more": 1}]},
        {"messages": 5},
        {"system": "Be"},
        *({"system": [{"text": f"It is {word} it"}]} for word in words),
        {"system": [{"text": "a user: no, user :"}]},
        {},
    ]
    paths = []
    for number, change in enumerate(changes):
        path = tmp_path / str(number) / "train.jsonl"
        path.parent.mkdir()
        write_rows(path, "nova")
        with path.open("ab") as file:
            file.write(encoded(ROWS["nova"] | change))
        paths.append(path)
    said = real_verdicts("nova", paths)
    ours = {
        path: any(f.severity == "error" for f in findings(path, dialect="nova"))
        for path in paths
    }
    assert {path: words is not None for path, words in said.items()} == ours
    assert [said[path] for path in paths[-2:]] == [None, None]
    refused = sum(ours.values())
    record(
        "readers",
        "nova",
        PYTHON,
        PACKAGES["nova"],
        f"{refused} of {refused} faulty files refused, 2 clean ones accepted",
    )


def test_check_refuses_for_openai_what_the_published_schema_refuses(
    tmp_path: Path,
) -> None:
    document = json.loads(
        (Path(__file__).parent / "openai_row_schema.json").read_text()
    )
    name = "FineTuneChatRequestInput"
    schema = {"$ref": f"#/components/schemas/{name}", **document}
    validator = jsonschema.Draft202012Validator(nullable(schema))
    good = json_values(b"".join(lines(12)))
    refused = set()
    for case in faulty():
        path = tmp_path / case.file
        path.write_bytes(case.content)
        values = [value for value in json_values(case.content) if value not in good]
        if not all(validator.is_valid(value) for value in values):
            refused.add(case.name)
            assert refuses(path, "openai"), case.name
    assert len(refused) > 20
    for content in clean().values():
        assert all(validator.is_valid(value) for value in json_values(content)[:20])


def nullable(schema: Any) -> Any:  # noqa: ANN401
    """Say OpenAPI's `nullable` in JSON Schema's words."""
    if isinstance(schema, list):
        return [nullable(part) for part in schema]
    if isinstance(schema, dict):
        parts = {key: nullable(part) for key, part in schema.items()}
        return {"anyOf": [parts, {"type": "null"}]} if parts.get("nullable") else parts
    return schema


def json_values(content: bytes) -> list[Any]:
    """Return the values of the lines that are JSON."""
    values = []
    for line in content.split(b"\n"):
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return values
