"""A recipe as it is printed, executed offline with a tiny random model.

`make test-recipes` makes .venv-recipes and runs it.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from exporter.readers import read_readers, recipes
from exporter.tokens import BYTES
from tests.conftest import REPOSITORY
from tests.corpus import chat, encoded, message

PYTHON = REPOSITORY / ".venv-recipes/bin/python"
ANSWERS = [f"It holds {n} cups of caf\u00e9, \u1f10\u03bd. " * 12 for n in range(64)]


@pytest.mark.recipes
def test_trl_trains_exactly_the_answers_and_evaluates(tmp_path: Path) -> None:
    folder = tmp_path / "my 'odd\" [files]"
    folder.mkdir()
    for name, answers in {"train": ANSWERS, "valid": ANSWERS[:8]}.items():
        rows = [
            chat(
                message("system", "Be brief."),
                message("user", f"Bag {number}"),
                message("assistant", answer),
            )
            for number, answer in enumerate(answers)
        ]
        (folder / f"{name}.jsonl").write_bytes(b"".join(map(encoded, rows)))
    lengths = recipes.measure(
        [folder / "train.jsonl"], BYTES, recipes.CONTEXT, "messages"
    )
    text = recipes.render(
        read_readers()["trl"],
        folder.relative_to(tmp_path),
        examples=64,
        valid_examples=8,
        model=recipes.MODEL,
        lengths=lengths,
    )
    (tmp_path / "train.py").write_text(text)
    program = Path(__file__).with_name("run_recipe.py")
    done = subprocess.run(
        [PYTHON, program, "train.py", recipes.MODEL],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    # The template ends a role with a line end, and TRL counts it to the answer.
    trained = sorted(text.strip("\n") for text in found["answers"])
    assert trained == sorted(f"{answer}<|im_end|>" for answer in ANSWERS)
    assert found["eval_losses"]
    assert found["losses"][-1] < found["losses"][0]
