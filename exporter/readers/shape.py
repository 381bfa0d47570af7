"""A YAML file, held to the shape of a struct: a fault is named with its line."""

import re
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
import yaml
from msgspec.structs import fields

from exporter.errors import FinetuneError

Shape = TypeVar("Shape", bound=msgspec.Struct)
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN = re.compile("Object contains unknown field `(.*)`")


class _Loader(_BASE):  # type: ignore[misc]
    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: ANN401
        """Return a value; a date that does not exist is refused with its line."""
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.MarkedYAMLError(
                problem=str(error), problem_mark=node.start_mark
            ) from error

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: ANN401
        """Return a mapping, of which no key comes twice."""
        seen = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                fault = f"{key.value} comes twice"
                raise yaml.MarkedYAMLError(problem=fault, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read(path: Path, shape: type[Shape]) -> Shape:
    """Return what a file says.

    Raises:
        FinetuneError: It is no YAML or has another shape; file and line are named.
    """
    loader, node, document = _Loader(path.read_bytes()), None, None
    try:
        node = loader.get_single_node()
        document = loader.construct_document(node) if node else None
        return msgspec.convert(document, shape)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what, line = error.problem, mark.line + 1 if mark else 1
    except msgspec.ValidationError as error:
        kinds = {field.encode_name: field.type for field in fields(shape)}
        steps = _steps(str(error), document, kinds)
        what = f"{error}{_known(str(error), steps, kinds)}"
        line = _line(node, steps)
    finally:
        loader.dispose()
    raise FinetuneError(f"{path}:{line}: {what}; correct it")


def line_of(path: Path, word: str) -> str:
    """Return the file and the line where a word first stands."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (n for n, line in enumerate(lines, 1) if word in line)
    return f"{path}:{next(found, 1)}"


def _steps(message: str, document: Any, kinds: dict[str, Any]) -> list[str]:  # noqa: ANN401
    """Return the keys and places that lead to what an error of msgspec is about."""
    what, _, path = message.partition(" - at `")
    steps = [key or place for key, place in _STEP.findall(path)]
    unknown = _UNKNOWN.match(what)
    if unknown:
        return [*steps, unknown[1]]
    # Which entry of a mapping is wrong msgspec does not say.
    if len(steps) == 1 and isinstance(entries := document[steps[0]], dict):
        for key, value in entries.items():
            try:
                msgspec.convert({key: value}, kinds[steps[0]])
            except msgspec.ValidationError:
                return [*steps, str(key)]
    return steps


def _known(message: str, steps: list[str], kinds: dict[str, Any]) -> str:
    """Return which keys or words there are, where that is what an error is about."""
    if "unknown field" in message:
        return f"; known are {', '.join(kinds)}" if len(steps) == 1 else ""
    words = _words(kinds[steps[0]]) if "enum value" in message else []
    return f"; known are {', '.join(words)}" if words else ""


def _words(kind: Any) -> list[str]:  # noqa: ANN401
    """Return the words that a type admits, in whatever it is made of."""
    if get_origin(kind) is Literal:
        return [*get_args(kind)]
    return [word for part in get_args(kind) for word in _words(part)]


def _line(node: Any, steps: list[str]) -> int:  # noqa: ANN401
    place = node
    for step in steps:
        if isinstance(node, yaml.SequenceNode):
            place = node = node.value[int(step)]
        else:
            place, node = next(pair for pair in node.value if pair[0].value == step)
    return place.start_mark.line + 1 if place else 1
