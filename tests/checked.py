"""Run `finetune check` in this process or as a command, and write files for it."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from exporter.checking.files import check_file
from exporter.checking.rules import Finding, read_rules
from tests.corpus import encoded, lines
from tests.lines import chat_line


def finetune(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("finetune"), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        check=False,
    )


def write_export(folder: Path) -> None:
    """Write the smallest possible export, with its manifest."""
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


# The same example in every dialect.
ROWS: dict[str, dict[str, Any]] = {
    "messages": {
        "messages": [
            {"role": "system", "content": "Be"},
            {"role": "user", "content": "Bag"},
            {"role": "assistant", "content": "Caf\u00e9"},
        ]
    },
    "gemini": {
        "systemInstruction": {"role": "system", "parts": [{"text": "Be"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Bag"}]},
            {"role": "model", "parts": [{"text": "Caf\u00e9"}]},
        ],
    },
    "nova": {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "Be"}],
        "messages": [
            {"role": "user", "content": [{"text": "Bag"}]},
            {"role": "assistant", "content": [{"text": "Caf\u00e9"}]},
        ],
    },
    "prompt-completion": {"prompt": "Be\n\nBag", "completion": "Caf\u00e9"},
}


def write_rows(
    path: Path, dialect: str, count: int = 40, answer: str = "A bag."
) -> Path:
    """Write this many different examples in a dialect."""
    path.write_bytes(
        b"".join(
            chat_line(
                system="Be",
                title=f"Bag {number}",
                description=f"{answer} Number {number}",
                dialect=dialect,
            )
            for number in range(count)
        )
    )
    return path


def findings(path: Path, *readers: str, dialect: str = "messages") -> list[Finding]:
    """Return the findings of a file for these readers, or for all."""
    found: list[Finding] = []
    check_file(path, read_rules(readers, dialect), found.append)
    return found
