"""Run by a trainer's own Python: what its recipe trained, seen from within.

Arguments: the trainer, or "model" and "count", and what the function of that name
takes. The last line of the output is JSON.
"""

# ruff: noqa: ANN401 - what comes from the trainers has no types here.
import base64
import json
import os
import re
import runpy
import sys
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

Found = dict[str, Any]
_MASKED = -100
# Qwen's own pattern, of the same package as its vocabulary.
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def qwen_tokenizer() -> Any:
    """Return the tokenizer of Qwen2.5, from the vocabulary in Alibaba's client."""
    client = find_spec("dashscope")
    assert client
    assert client.submodule_search_locations
    path = Path(client.submodule_search_locations[0]) / "resources/qwen.tiktoken"
    library = import_module("tokenizers")
    converter = import_module("transformers.convert_slow_tokenizer").TikTokenConverter
    converter.load_tiktoken_bpe = staticmethod(
        lambda _: {
            base64.b64decode(token): int(rank)
            for token, rank in map(bytes.split, path.read_bytes().splitlines())
        }
    )
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    backend = converter(path, _PATTERN, extra_special_tokens=special).converted()
    backend.normalizer = library.normalizers.NFC()
    tokenizer = import_module("transformers").PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=special[2], pad_token=special[0]
    )
    templates = Path(str(import_module("trl").__file__)).parent / "chat_templates"
    tokenizer.chat_template = (templates / "qwen2_5.jinja").read_text()
    return tokenizer


def model(name: str) -> Found:
    """Write the smallest possible random Qwen2, with the real tokenizer."""
    library = import_module("transformers")
    tokenizer = qwen_tokenizer()
    tokenizer.save_pretrained(name)
    config = library.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=16,  # MLX-LM trains 16.
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    library.Qwen2ForCausalLM(config).save_pretrained(name)
    return {"tokens": len(tokenizer)}


def count(name: str, *files: str) -> Found:
    """Return the longest example of each file, in tokens of the model."""
    tokenizer = import_module("transformers").AutoTokenizer.from_pretrained(name)
    longest = {}
    for file in files:
        rows = map(json.loads, Path(file).read_bytes().splitlines())
        texts = [
            tokenizer.apply_chat_template(row["messages"], tokenize=False)
            for row in rows
        ]
        ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
        longest[file] = max(map(len, ids))
    return longest


def trl(recipe: str) -> Found:
    """Execute the script, and keep the trainer that it makes."""
    trainer_class: Any = import_module("trl").SFTTrainer
    trainers: list[Any] = []
    original = trainer_class.train

    def train(self: Any) -> Any:
        trainers.append(self)
        return original(self)

    trainer_class.train = train
    runpy.run_path(recipe)
    [trainer] = trainers
    rows = (trainer.data_collator([row])["labels"][0] for row in trainer.train_dataset)
    labels = [row.tolist() for row in rows]
    return _found(trainer.processing_class, labels, trainer.state.log_history)


def llama_factory(settings: str) -> Found:
    """Make the rows of the settings again, and read the log of the run."""
    options = import_module("yaml").safe_load(Path(settings).read_text())
    data = import_module("llamafactory.data")
    hparams = import_module("llamafactory.hparams")
    model_args, data_args, training_args, *_ = hparams.get_train_args(options)
    loaded = import_module("llamafactory.model").load_tokenizer(model_args)
    template = data.get_template_and_fix_tokenizer(loaded["tokenizer"], data_args)
    rows = data.get_dataset(
        template, model_args, data_args, training_args, stage="sft", **loaded
    )
    log = Path(options["output_dir"], "trainer_log.jsonl").read_text()
    logs = [*map(json.loads, log.splitlines())]
    return _found(loaded["tokenizer"], rows["train_dataset"]["labels"], logs)


def mlx(recipe: str, printed: str) -> Found:
    """Make the batches of the command again, and read what it printed."""
    text = Path(recipe).read_text()
    words = import_module("shlex").split(text, comments=True)
    options = dict(pairwise(words))
    tokenizer = import_module("mlx_lm.utils").load(options["--model"])[1]
    datasets = import_module("mlx_lm.tuner.datasets")
    trainer = import_module("mlx_lm.tuner.trainer")
    masked = import_module("types").SimpleNamespace(mask_prompt="--mask-prompt" in text)
    rows, *_ = datasets.load_local_dataset(Path(options["--data"]), tokenizer, masked)
    batches = trainer.iterate_batches(
        datasets.CacheDataset(rows),
        int(options["--batch-size"]),
        int(options["--max-seq-length"]),
    )
    labels = [
        row[start:end]
        for batch, bounds in batches
        for row, (start, end) in zip(batch.tolist(), bounds.tolist(), strict=True)
    ]
    said = re.sub(r"\x1b\[[\d;]*m", "", Path(printed).read_text())
    return {
        "answers": [tokenizer.decode(row) for row in labels],
        "losses": [*map(float, re.findall(r"^ +\d+ +([\d.]+) ", said, re.MULTILINE))],
        "eval_losses": [
            *map(float, re.findall(r"^ +\d+ +val ([\d.]+)", said, re.MULTILINE))
        ],
    }


def axolotl(name: str) -> Found:
    """Read what `axolotl preprocess` left: the training rows are the most."""
    load = import_module("datasets").load_from_disk
    found = Path("last_run_prepared").rglob("dataset_info.json")
    rows = max((load(str(path.parent)) for path in found), key=len)
    tokenizer = import_module("transformers").AutoTokenizer.from_pretrained(name)
    return _found(tokenizer, rows["labels"], [])


def oci(recipe: str) -> Found:
    """Return the options and keys that Oracle's command line and SDK do not know."""
    text = Path(recipe).read_text().replace("\\\n", "")
    words = import_module("shlex").split(text, comments=True)
    starts = [place for place, word in enumerate(words) if word == "oci"]
    unknown: list[str] = []
    for start, end in pairwise([*starts, len(words)]):
        command = words[start:end]
        name = command[: next(n for n, w in enumerate(command) if w.startswith("--"))]
        options = [word for word in command if word.startswith("--")]
        known = import_module("subprocess").check_output([*name, "--help"], text=True)
        unknown += [o for o in options if not re.search(rf"{o}(?![\w-])", known)]
        if "--fine-tune-details" in options:
            given = command[command.index("--fine-tune-details") + 1]
            unknown += _unknown_keys("FineTuneDetails", json.loads(given))
    return {"commands": len(starts), "unknown": unknown}


def _unknown_keys(name: str, value: Found) -> list[str]:
    models = import_module("oci.generative_ai.models")
    kind = getattr(models, name)
    if hasattr(kind, "get_subtype"):
        kind = getattr(models, kind.get_subtype(value))
    instance = kind()
    names = {key: attribute for attribute, key in instance.attribute_map.items()}
    unknown = [key for key in value if key not in names]
    for key, inner in value.items():
        if isinstance(inner, dict) and key in names:
            unknown += _unknown_keys(instance.swagger_types[names[key]], inner)
    return unknown


def litgpt(config: str) -> Found:
    """Return the configuration that LitGPT's parser made, printed as YAML."""
    found: Found = import_module("yaml").safe_load(Path(config).read_text())
    return found


def _found(tokenizer: Any, labels: Any, logs: list[dict[str, Any]]) -> Found:
    """Return the trained texts, and the losses of a log of transformers."""
    learned = ([token for token in row if token != _MASKED] for row in labels)
    return {
        "answers": [tokenizer.decode(row) for row in learned],
        "losses": [log["loss"] for log in logs if "loss" in log],
        "eval_losses": [log["eval_loss"] for log in logs if "eval_loss" in log],
    }


def main() -> None:
    """Call the named function and print its result."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    name, *arguments = sys.argv[1:]
    functions: dict[str, Any] = {
        "model": model,
        "count": count,
        "trl": trl,
        "llama-factory": llama_factory,
        "mlx": mlx,
        "axolotl": axolotl,
        "oci": oci,
        "litgpt": litgpt,
    }
    sys.stdout.write("\n" + json.dumps(functions[name](*arguments)) + "\n")


if __name__ == "__main__":
    main()
