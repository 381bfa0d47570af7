"""A reader's YAML file, held to its shape: a fault is named with its line."""

from pathlib import Path
from typing import Any

import yaml

from exporter.chat import DIALECTS
from exporter.errors import FinetuneError

_TEXTS = ["str"]
# Every key that a file may have and what its value is: a YAML type, one of some
# words, a list of one kind, or a mapping ("" stands for any key).
_LIMIT = ("int", "none", "unknown")
SHAPE: dict[str, Any] = {
    "title": "str",
    "kind": ("provider", "trainer", "library"),
    "sources": [{"what": "str", "read": "timestamp"}],
    "hosts": _TEXTS,
    "routes": [("files", "jobs")],
    "dialect": tuple(DIALECTS),
    "like": "str",
    "limits": {
        "examples": _LIMIT,
        "most_examples": _LIMIT,
        "validation_examples": _LIMIT,
        "bytes": _LIMIT,
        "request_bytes": _LIMIT,
        "tokens": _LIMIT,
    },
    "otherwise": ("warning", "error"),
    "accepts": _TEXTS,
    "warns": _TEXTS,
    "refuses": _TEXTS,
    "wants": {"": "str"},
    "reserved": _TEXTS,
    "closings": [
        {"date": "timestamp", "what": "str", "state": ("closed", "deprecated")}
    ],
    "instead": _TEXTS,
    "models": {"": "timestamp"},
    "proof": ("executed", "parsed"),
    "recipe": "str",
}
_REQUIRED = ("title", "kind", "sources")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path) -> dict[str, Any]:
    """Return what a file says.

    Raises:
        FinetuneError: It is no YAML or has another shape; file and line are named.
    """
    loader = _LOADER(path.read_bytes())
    try:
        node = loader.get_single_node()
        _fit(node, SHAPE, path, "the file")
        document: dict[str, Any] = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise FinetuneError(f"{path}:{line}: {error.problem}; correct it") from error
    finally:
        loader.dispose()
    for key in _REQUIRED:
        if not document.get(key):
            raise FinetuneError(f"{path}:1: {key} is missing; add it")
    return document


def line_of(path: Path, word: str) -> str:
    """Return the file and the line where a word first stands."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (n for n, line in enumerate(lines, 1) if word in line)
    return f"{path}:{next(found, 1)}"


def _fit(node: Any, shape: Any, path: Path, what: str) -> None:  # noqa: ANN401
    where = f"{path}:{node.start_mark.line + 1 if node else 1}"
    if isinstance(shape, dict):
        if not isinstance(node, yaml.MappingNode):
            raise FinetuneError(f"{where}: {what} is not a mapping of keys; correct it")
        seen = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            inner = shape.get(name, shape.get(""))
            if inner is None or name in seen:
                fault = "comes twice" if name in seen else f"is none of {list(shape)}"
                raise FinetuneError(f"{path}:{line}: {name} {fault}; correct it")
            seen.add(name)
            _fit(value, inner, path, name)
    elif isinstance(shape, list):
        if not isinstance(node, yaml.SequenceNode):
            raise FinetuneError(f"{where}: {what} is not a list; correct it")
        for item in node.value:
            _fit(item, shape[0], path, what)
    else:
        words = (shape,) if isinstance(shape, str) else shape
        kind = node.tag.rpartition(":")[2]
        given = node.value if isinstance(node, yaml.ScalarNode) else kind
        if kind not in words and given not in words:
            expected = " or ".join(words)
            raise FinetuneError(
                f"{where}: {what} is {str(given)[:40]!r}, not {expected}; correct it"
            )
