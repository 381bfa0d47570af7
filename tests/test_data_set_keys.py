"""The keys of a data set: each is read, or refused with its path."""

from typing import Any

import pytest

from exporter import dataset
from exporter.chat import SLOT
from exporter.errors import FinetuneError

PATH = "models/shop.yml: exposures.support.config.meta.finetune"
KEYS = {"examples": "answers", "id": "n", "user": "question", "assistant": "answer"}


def manifest(
    keys: object, kind: str = "ml", names: tuple[str, ...] = ("answers", "counts")
) -> dict[str, Any]:
    """Return dbt's manifest of a project with one data set and a dashboard."""
    exposure = {
        "name": "support",
        "unique_id": "exposure.shop.support",
        "original_file_path": "models/shop.yml",
        "type": kind,
        "config": {"meta": {"finetune": keys}},
        "depends_on": {
            "nodes": [
                *("source.shop.raw", "metric.shop.answers", "function.shop.upper"),
                *(f"model.{n}" for n in names),
            ]
        },
    }
    dashboard = {"name": "dashboard", "config": {"meta": {}}}
    return {
        "exposures": {"one": exposure, "other": dashboard},
        "nodes": {f"model.{name}": {"name": name.split(".")[-1]} for name in names},
        "sources": {"source.shop.raw": {"name": "raw"}},
        "metrics": {"metric.shop.answers": {"name": "answers"}},
        "functions": {"function.shop.upper": {"name": "upper"}},
    }


def test_a_data_set_is_an_exposure_with_the_key_finetune() -> None:
    assert dataset.declared(manifest(KEYS)).keys() == {"support"}


def test_data_sets_of_one_name_in_two_packages_are_told_apart() -> None:
    document = manifest(KEYS)
    document["exposures"]["two"] = document["exposures"]["one"] | {
        "unique_id": "exposure.package.support"
    }
    names = {"shop.support", "package.support"}
    assert dataset.declared(document).keys() == names
    found = {dataset.read(document, name).unique_id for name in names}
    assert found == {f"exposure.{name}" for name in names}


def test_each_key_is_read_and_models_become_their_unique_ids() -> None:
    keys = KEYS | {"system": "tone", "split": "side", "funnel": "counts"}
    found = dataset.read(manifest({**keys, "outcomes": None}), "support")
    assert found == dataset.DataSet(
        unique_id="exposure.shop.support",
        path=PATH,
        examples="model.answers",
        id="n",
        user="question",
        assistant="answer",
        system="tone",
        system_prompt=None,
        split="side",
        funnel="model.counts",
        outcomes=None,
    )
    assert found.name == "support"
    assert found.models == ["model.answers", "model.counts"]
    source = dataset.read(manifest(KEYS | {"outcomes": "raw"}), "support")
    assert source.outcomes == "source.shop.raw"


def test_the_prompt_is_a_column_one_text_or_none() -> None:
    cases: list[tuple[dict[str, str | None], object]] = [
        ({}, None),
        ({"system_prompt": None}, None),
        ({"system": "tone"}, SLOT),
        ({"system_prompt": " Be kind.\n"}, "Be kind."),
    ]
    for more, prompt in cases:
        assert dataset.read(manifest(KEYS | more), "support").prompt == prompt
    empty = dataset.read(manifest(KEYS | {"system_prompt": " "}), "support")
    with pytest.raises(FinetuneError) as caught:
        _ = empty.prompt
    assert str(caught.value) == (
        f"{PATH}.system_prompt: the system prompt is empty; write one that fits your "
        "columns, or export with --system-prompt TEXT or --no-system"
    )


REQUIRED = "examples, id, user, assistant"
KNOWN = f"{REQUIRED}, system, system_prompt, split, funnel, outcomes"
COLUMN = "missing; name a column of the examples"
NO_TEXT = "; write a name, or remove the key"
LISTED = "in depends_on of the exposure"
WRONG: list[tuple[dict[str, object], str]] = [
    ({"asistant": "x"}, f".asistant: unknown key; the keys are {KNOWN}"),
    ({"user": None}, f".user: {COLUMN}"),
    ({"id": None}, f".id: {COLUMN}"),
    ({"assistant": None}, f".assistant: {COLUMN}"),
    ({"examples": None}, ".examples: missing; name a model"),
    ({"split": 1}, f".split: must be text, but is 1{NO_TEXT}"),
    ({"split": " "}, f".split: must be text, but is ' '{NO_TEXT}"),
    ({"system_prompt": 1}, f".system_prompt: must be text, but is 1{NO_TEXT}"),
    (
        {"system": "tone", "system_prompt": "Be kind."},
        ": has both system and system_prompt; remove one",
    ),
    (
        {"funnel": "lost"},
        f".funnel: no models named lost {LISTED}; add ref('lost') to it",
    ),
    (
        {"outcomes": "twice"},
        f".outcomes: 2 models named twice {LISTED}; leave only one there",
    ),
]


@pytest.mark.parametrize(("keys", "reason"), WRONG)
def test_a_wrong_key_is_an_error_with_its_path(
    keys: dict[str, object], reason: str
) -> None:
    models = ("answers", "one.twice", "other.twice")
    with pytest.raises(FinetuneError) as caught:
        dataset.read(manifest(KEYS | keys, names=models), "support")
    assert str(caught.value) == PATH + reason


def test_a_declaration_of_another_type_is_an_error_with_its_path() -> None:
    for declared, reason in [
        (manifest([]), f": must have the keys {REQUIRED}"),
        (manifest(KEYS, "x"), ": the type of the exposure is x; write type: ml"),
    ]:
        with pytest.raises(FinetuneError) as caught:
            dataset.read(declared, "support")
        assert str(caught.value) == PATH + reason
