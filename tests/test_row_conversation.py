"""Rows of any dialect become messages; a fault names the key of the row."""

from typing import Any

import pytest

from exporter.chat import NOVA_VERSION
from exporter.checking.dialects import RowConversation, wrapper_key

USER = {"role": "user", "parts": [{"text": "Bag"}]}
MODEL = {"role": "model", "parts": [{"text": "A bag."}]}
ASKED = {"role": "user", "content": "Bag"}
SAID = {"role": "assistant", "content": "A bag."}


def texts(*several: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in several]


def images(*several: object) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": image} for image in several]


FAULTY: dict[str, tuple[dict[str, Any], list[Any], tuple[str, str, str]]] = {
    "two texts": (
        {
            "contents": [
                {"role": "user", "parts": [{"text": "A"}, {"text": "B"}]},
                MODEL,
            ]
        },
        [{"role": "user", "content": texts("A", "B")}, SAID],
        ("content-parts", "contents[0].parts", ""),
    ),
    "an image beside a text": (
        {"contents": [{"role": "user", "parts": [{"text": "A"}, {"data": {}}]}, MODEL]},
        [{"role": "user", "content": texts("A") + images({"data": {}})}, SAID],
        ("content-image", "contents[0].parts", ""),
    ),
    "a part that is no object": (
        {"contents": [{"role": "user", "parts": [5]}, MODEL]},
        [{"role": "user", "content": images(5)}, SAID],
        ("content-image", "contents[0].parts", ""),
    ),
    "a text in place of parts": (
        {"contents": [{"role": "user", "parts": "Bag"}, MODEL]},
        [ASKED, SAID],
        ("row-form", "contents[0].parts", "a string, not a list of parts"),
    ),
    "a prompt in place of its parts": (
        {"contents": [USER, MODEL], "systemInstruction": {"parts": "Write."}},
        [{"role": "system", "content": "Write."}, ASKED, SAID],
        ("row-form", "systemInstruction.parts", "a string, not a list of parts"),
    ),
    "the role of another dialect": (
        {"contents": [USER, {**MODEL, "role": "assistant"}]},
        [ASKED, {**SAID, "role": "assistant, not in this dialect"}],
        (
            "role-unknown",
            "contents[1].role",
            "assistant, not in this dialect",
        ),
    ),
    "a turn that is no object": (
        {"contents": [USER, "A bag."]},
        [ASKED, "A bag."],
        ("message-not-object", "contents[1]", "a string"),
    ),
    "a turn without parts": (
        {"contents": [USER, {"role": "model"}]},
        [ASKED, {"role": "assistant"}],
        ("content-missing", "contents[1].parts", ""),
    ),
    "a blank text": (
        {"contents": [USER, {"role": "model", "parts": [{"text": " "}]}]},
        [ASKED, {"role": "assistant", "content": " "}],
        ("content-blank", "contents[1].parts[0].text", ""),
    ),
    "a key of a turn": (
        {"contents": [USER, {**MODEL, "weight": 5}]},
        [ASKED, {**SAID, "weight": 5}],
        ("weight-invalid", "contents[1].weight", "5"),
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_names_the_key_of_the_row(name: str) -> None:
    row, messages, fault = FAULTY[name]
    conversation = RowConversation(row, "gemini")
    assert conversation.messages == messages
    assert [*conversation.faults()] == [fault]


def test_a_fault_of_turns_that_are_no_list_names_their_key() -> None:
    conversation = RowConversation({"contents": "Bag"}, "gemini")
    assert conversation.messages == "Bag"
    assert [*conversation.faults()] == [("messages-not-list", "contents", "a string")]


def test_the_system_prompt_of_nova_is_a_list_of_texts() -> None:
    content = {"user": "Bag", "assistant": "A bag."}
    rows = [{"role": r, "content": [{"text": t}]} for r, t in content.items()]
    row = {"schemaVersion": NOVA_VERSION, "system": [{"text": " "}], "messages": rows}
    conversation = RowConversation(row, "nova")
    assert conversation.messages == [{"role": "system", "content": " "}, ASKED, SAID]
    assert [*conversation.faults()] == [("content-blank", "system[0].text", "")]


def test_a_pair_without_an_answer_has_a_fault_for_the_missing_key() -> None:
    conversation = RowConversation({"prompt": "Bag"}, "prompt-completion")
    assert conversation.messages == [ASKED, {"role": "assistant"}]
    assert [*conversation.faults()] == [("content-missing", "completion", "")]


def test_the_wrapper_key_is_the_one_whose_value_is_a_list_of_rows() -> None:
    rows = {"n": 1, "more": [], "x": ["y"], "data": [{"contents": "any"}]}
    assert wrapper_key(rows) == "data"
    assert wrapper_key({"data": [{"other": 1}]}) is None
