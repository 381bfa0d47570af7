"""A YAML file validated against a struct; an error names the file and the line."""

import re
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
import yaml
from msgspec.structs import fields

from exporter.errors import FinetuneError

Schema = TypeVar("Schema", bound=msgspec.Struct)
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN = re.compile("Object contains unknown field `(.*)`")


class _Loader(_BASE):  # type: ignore[misc]
    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: ANN401
        """Return a value; refuse a date that does not exist, with its line."""
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.MarkedYAMLError(
                problem=str(error), problem_mark=node.start_mark
            ) from error

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: ANN401
        """Return a mapping; refuse a key that appears twice, with its line."""
        seen = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                fault = f"{key.value} appears twice"
                raise yaml.MarkedYAMLError(problem=fault, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def load(path: Path, schema: type[Schema]) -> Schema:
    """Return the content of a YAML file as a struct.

    Raises:
        FinetuneError: The file is not valid YAML or does not match the schema; the
            message names file and line.
    """
    loader, node, document = _Loader(path.read_bytes()), None, None
    try:
        node = loader.get_single_node()
        document = loader.construct_document(node) if node else None
        return msgspec.convert(document, schema)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what, line = error.problem, mark.line + 1 if mark else 1
    except msgspec.ValidationError as error:
        types = {field.encode_name: field.type for field in fields(schema)}
        steps = _steps(str(error), document, types)
        what = f"{error}{_known(str(error), steps, types)}"
        line = _line(node, steps)
    finally:
        loader.dispose()
    raise FinetuneError(f"{path}:{line}: {what}; correct it")


def line_of(path: Path, word: str) -> str:
    """Return file:line of the first line that contains a word."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (n for n, line in enumerate(lines, 1) if word in line)
    return f"{path}:{next(found, 1)}"


def _steps(message: str, document: Any, types: dict[str, Any]) -> list[str]:  # noqa: ANN401
    """Return the path of keys and indexes to the value that msgspec refused."""
    what, _, path = message.partition(" - at `")
    steps = [key or index for key, index in _STEP.findall(path)]
    unknown = _UNKNOWN.match(what)
    if unknown:
        return [*steps, unknown[1]]
    # msgspec does not name the wrong entry of a mapping, so try one after the other.
    if len(steps) == 1 and isinstance(entries := document[steps[0]], dict):
        for key, value in entries.items():
            try:
                msgspec.convert({key: value}, types[steps[0]])
            except msgspec.ValidationError:
                return [*steps, str(key)]
    return steps


def _known(message: str, steps: list[str], types: dict[str, Any]) -> str:
    """Return the known keys or words, if the error is about an unknown one."""
    if "unknown field" in message:
        return f"; known are {', '.join(types)}" if len(steps) == 1 else ""
    words = _words(types[steps[0]]) if "enum value" in message else []
    return f"; known are {', '.join(words)}" if words else ""


def _words(annotation: Any) -> list[str]:  # noqa: ANN401
    """Return the words of every Literal within a type annotation."""
    if get_origin(annotation) is Literal:
        return [*get_args(annotation)]
    return [word for part in get_args(annotation) for word in _words(part)]


def _line(node: Any, steps: list[str]) -> int:  # noqa: ANN401
    """Return the number of the line that a path of keys and indexes leads to."""
    place = node
    for step in steps:
        if isinstance(node, yaml.SequenceNode):
            place = node = node.value[int(step)]
        else:
            place, node = next(pair for pair in node.value if pair[0].value == step)
    return place.start_mark.line + 1 if place else 1
