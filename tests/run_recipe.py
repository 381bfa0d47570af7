"""Run by a trainer's own Python: execute TRL's recipe with a tiny random model.

Arguments: the recipe's file, the model's name in it. The model is made where the
recipe names it; a line of JSON says what was trained.
"""

import json
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def make_model(name: str) -> None:
    """Write a random model of the family of Qwen2.5, with a tokenizer of bytes."""
    library = import_module("transformers")
    tokenizers = import_module("tokenizers")
    templates = Path(str(import_module("trl").__file__)).parent / "chat_templates"
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE({a: n for n, a in enumerate(letters)}, [])
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    tokenizer = library.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = (templates / "qwen2_5.jinja").read_text()
    tokenizer.save_pretrained(name)
    config = library.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    library.Qwen2ForCausalLM(config).save_pretrained(name)


def main() -> None:
    """Execute the recipe as it stands and say what it trained."""
    recipe, name = sys.argv[1:]
    make_model(name)
    trainer_class: Any = import_module("trl").SFTTrainer
    trainers: list[Any] = []
    original = trainer_class.train

    def train(self: Any) -> Any:  # noqa: ANN401
        trainers.append(self)
        return original(self)

    trainer_class.train = train
    runpy.run_path(recipe)
    [trainer] = trainers
    answers = []
    for row in trainer.train_dataset:
        batch = trainer.data_collator([row])
        learned = [token for token in batch["labels"][0].tolist() if token != -100]
        answers.append(trainer.processing_class.decode(learned))
    logs = trainer.state.log_history
    found = {
        "answers": answers,
        "losses": [log["loss"] for log in logs if "loss" in log],
        "eval_losses": [log["eval_loss"] for log in logs if "eval_loss" in log],
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
