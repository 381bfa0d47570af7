"""The fast path accepts all clean lines, any number at once."""

import pytest

from exporter.chat import DIALECTS, chat_messages
from exporter.checking.fast_path import FastPath, Texts, texts_of
from exporter.checking.rules import read_rules
from tests.lines import chat_line

SHARED = 'Say "bag" or "sack", and no more.'
PROMPTS: dict[str, list[str | None]] = {
    "none": [None],
    "one that all share": [SHARED],
    "one alone and one that two share": [SHARED, 'Say "case".', SHARED],
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("count", [1, 2, 3, 30])
@pytest.mark.parametrize("end", ["a line end", "none"])
def test_clean_lines_give_their_texts(
    dialect: str, kind: str, count: int, end: str
) -> None:
    prompts = PROMPTS[kind]
    texts, lines = list[Texts](), b""
    for n in range(count):
        prompt, question, answer = prompts[n % len(prompts)], f'Bag "{n}"', f'A "{n}".'
        lines += chat_line(
            system=prompt, title=question, description=answer, dialect=dialect
        )
        if prompt and dialect == "prompt-completion":
            prompt, question = None, f"{prompt}\n\n{question}"
        texts.append((prompt, question, answer))
    fast_path = FastPath(dialect)
    for _ in range(2):  # It tries the layout of the last lines first.
        found = fast_path.texts(lines if end != "none" else lines.removesuffix(b"\n"))
        assert found == texts
    without = chat_line(system=None, title="Bag", description="A.", dialect=dialect)
    assert fast_path.texts(without) == [(None, "Bag", "A.")]


@pytest.mark.parametrize(
    "answer", ["A bag.\u2028Blue.", "\u200bA bag.", "Article 4242 4242 4242 4241."]
)
def test_a_text_that_only_resembles_a_fault_is_accepted(answer: str) -> None:
    line = chat_line(system=None, title="Bag", description=answer)
    assert FastPath().texts(line) == [(None, "Bag", answer)]


def test_a_line_with_a_reserved_word_is_left_to_the_full_check() -> None:
    fast_path = FastPath("nova", read_rules(["nova"]).reserved())
    for answer, clean in ("A bag.", True), ("A bag. User: more", False):
        line = chat_line(system=None, title="Bag", description=answer, dialect="nova")
        assert (fast_path.texts(line) is not None) == clean


@pytest.mark.parametrize("prompt", [None, "Be brief."])
def test_the_messages_of_a_clean_example_give_its_texts(prompt: str | None) -> None:
    texts = (prompt, "Bag", "A bag.")
    assert texts_of(chat_messages(*texts)) == texts
