"""The data sets of a dbt project: exposures of type ml with a key `finetune`."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from exporter.chat import SLOT, Prompt
from exporter.errors import FinetuneError

# What the unique id of a relation in the database begins with.
_RELATIONS = ("model.", "seed.", "snapshot.", "source.")

_REQUIRED = ("examples", "id", "user", "assistant")
_KEYS = (*_REQUIRED, "system", "system_prompt", "split", "funnel", "outcomes")

# The keys that name a model, and those that name a column of the examples.
MODEL_KEYS = ("examples", "funnel", "outcomes")
COLUMN_KEYS = ("id", "user", "assistant", "system", "split")


class DataSet(NamedTuple):
    """The declaration of a data set in its exposure.

    `examples`, `funnel` and `outcomes` are dbt's unique ids of the models; the other
    keys name columns of the examples. `path` is the file and the path in its YAML.
    """

    unique_id: str
    path: str
    examples: str
    id: str
    user: str
    assistant: str
    system: str | None
    system_prompt: str | None
    split: str | None
    funnel: str | None
    outcomes: str | None

    @property
    def name(self) -> str:
        """Return the name of the exposure."""
        return self.unique_id.split(".")[-1]

    @property
    def models(self) -> list[str]:
        """Return the unique ids of its models."""
        named = (self.examples, self.funnel, self.outcomes)
        return [unique_id for unique_id in named if unique_id]

    @property
    def prompt(self) -> Prompt:
        """Return the system prompt of its examples.

        Raises:
            FinetuneError: It is declared, but empty.
        """
        if self.system:
            return SLOT
        if self.system_prompt is None:
            return None
        if not self.system_prompt.strip():
            raise self.error(
                "system_prompt",
                "the system prompt is empty; write one that fits your columns, or "
                "export with --system-prompt TEXT or --no-system",
            )
        return self.system_prompt.strip()

    def error(self, key: str, message: str) -> FinetuneError:
        """Return an error about a key of the declaration, with its path."""
        return FinetuneError(f"{self.path}.{key}: {message}")


def node(manifest: dict[str, Any], unique_id: str) -> dict[str, Any]:
    """Return the entry of a model, test, source, function, ... in dbt's manifest.json.

    Sources, functions and metrics each have a part of their own.
    """
    kind = unique_id.split(".", maxsplit=1)[0]
    found: dict[str, Any] = manifest.get(f"{kind}s", manifest["nodes"])[unique_id]
    return found


def declared(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the exposures of dbt's manifest.json (v12) that are data sets, by name.

    Where several packages have one of the same name, the name is PACKAGE.NAME.
    """
    found = [
        exposure
        for exposure in manifest["exposures"].values()
        if "finetune" in exposure["config"]["meta"]
    ]
    counts = Counter(exposure["name"] for exposure in found)
    return {
        exposure["unique_id"].removeprefix("exposure.")
        if counts[exposure["name"]] > 1
        else exposure["name"]: exposure
        for exposure in found
    }


def read(manifest: dict[str, Any], name: str) -> DataSet:
    """Return the data set that the exposure of this name declares.

    Raises:
        FinetuneError: A key is missing, unknown or has a wrong value; the message
            begins with its path in the YAML.
    """
    exposure = declared(manifest)[name]
    path = (
        f"{exposure['original_file_path']}: exposures.{exposure['name']}"
        ".config.meta.finetune"
    )
    keys = exposure["config"]["meta"]["finetune"]
    for error in _errors(exposure, keys):
        raise FinetuneError(f"{path}{error}")
    values: dict[str, Any] = {key: keys.get(key) for key in _KEYS}
    for key in MODEL_KEYS:
        model = values[key]
        if not model:
            continue
        found = [
            unique_id
            for unique_id in exposure["depends_on"]["nodes"]
            if unique_id.startswith(_RELATIONS)
            and node(manifest, unique_id)["name"] == model
        ]
        if len(found) != 1:
            fix = "leave only one there" if found else f"add ref('{model}') to it"
            raise FinetuneError(
                f"{path}.{key}: {len(found) or 'no'} models named {model} in "
                f"depends_on of the exposure; {fix}"
            )
        [values[key]] = found
    return DataSet(exposure["unique_id"], path, **values)


def _errors(exposure: dict[str, Any], keys: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the errors of a declaration, each with its path below `finetune`."""
    if not isinstance(keys, dict):
        yield f": must have the keys {', '.join(_REQUIRED)}"
    for key in keys:
        if key not in _KEYS:
            yield f".{key}: unknown key; the keys are {', '.join(_KEYS)}"
    for key in _REQUIRED:
        if keys.get(key) is None:
            what = "model" if key == "examples" else "column of the examples"
            yield f".{key}: missing; name a {what}"
    for key, value in keys.items():
        is_text = isinstance(value, str) and (value.strip() or key == "system_prompt")
        if value is not None and not is_text:
            wrong = f"must be text, but is {value!r}"
            yield f".{key}: {wrong}; write a name, or remove the key"
    if exposure["type"] != "ml":
        yield f": the type of the exposure is {exposure['type']}; write type: ml"
    if keys.get("system") and keys.get("system_prompt"):
        yield ": has both system and system_prompt; remove one"
