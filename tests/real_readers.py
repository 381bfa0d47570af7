"""Run by the readers' own Python: report which files a real reader refuses.

Arguments: the reader, then files. A line of JSON a file: null when the reader
takes it, else what it said.
"""

# ruff: noqa: ANN401 - what comes from the readers has no types here.
import json
import os
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' +"
    " message['content'] + '<|im_end|>\n' }}{% endfor %}"
)


def together(path: Path) -> str | None:
    """Run the check that Together's client makes before an upload."""
    report = import_module("together.lib.utils.files").check_file(path)
    return None if report["is_check_passed"] else str(report["message"])


def hf_datasets(path: Path) -> str | None:
    """Load the file by Hugging Face's `load_dataset("json")`."""
    return _altered(_load(path), path)


def mistral(path: Path) -> str | None:
    """Validate each line as mistral-common does for fine-tuning."""
    request = import_module("mistral_common.protocol.instruct.request")
    validator = import_module("mistral_common.protocol.instruct.validator")
    check = validator.MistralRequestValidatorV3(validator.ValidationMode.finetuning)
    with path.open(encoding="utf-8") as file:
        for line in file:
            value = json.loads(line)
            messages = request.ChatCompletionRequest(**_finetuning(value))
            check.validate_messages(messages.messages)
    return None


def _finetuning(value: dict[str, Any]) -> dict[str, Any]:
    """Let an assistant's message have a weight, which mistral-common supports."""
    messages = import_module("mistral_common.protocol.instruct.messages")
    read = [
        messages.FinetuningAssistantMessage(**message)
        if isinstance(message, dict) and message.get("role") == "assistant"
        else message
        for message in value["messages"]
    ]
    return {**value, "messages": read}


def mlx(path: Path) -> str | None:
    """Load the folder as `mlx_lm.lora` does, and turn every row into tokens."""
    datasets = import_module("mlx_lm.tuner.datasets")
    options = import_module("types").SimpleNamespace(mask_prompt=True)
    rows, _, _ = datasets.load_local_dataset(path.parent, _tokenizer(), options)
    if len(rows) < 4:
        return f"{len(rows)} rows are fewer than the batch of 4"
    for row in rows:
        rows.process(row)
    return None


def trl(path: Path) -> str | None:
    """Give the file to TRL's trainer and let it make tokens of the rows."""
    library = import_module("trl")
    rows = _load(path)
    altered = _altered(rows, path)
    with tempfile.TemporaryDirectory() as folder:
        options = library.SFTConfig(
            output_dir=folder, report_to=[], use_cpu=True, disable_tqdm=True
        )
        trainer = library.SFTTrainer(
            model=_model(),
            args=options,
            train_dataset=rows,
            processing_class=_tokenizer(),
        )
    return altered if len(trainer.train_dataset) else "no row is left"


def tinker(path: Path) -> str | None:
    """Build the supervised data set of Tinker's cookbook, and its batches."""
    data = import_module("tinker_cookbook.supervised.data")
    types = import_module("tinker_cookbook.supervised.types")
    setattr(types, "get_tokenizer", lambda _: _tokenizer())  # noqa: B010
    options = types.ChatDatasetBuilderCommonConfig(
        model_name_for_tokenizer="the one above",
        renderer_name="role_colon",
        max_length=512,
        batch_size=1,
    )
    builder = data.FromConversationFileBuilder(
        common_config=options, file_path=str(path)
    )
    rows, _ = builder()
    for place in range(len(rows)):
        rows.get_batch(place)
    return None


def nemo(path: Path) -> str | None:
    """Read the file as NeMo Automodel's chat dataset, and make tokens of the rows."""
    module = import_module("nemo_automodel.components.datasets.llm.chat_dataset")
    rows = module.ChatDataset(str(path), _tokenizer())
    for place in range(len(rows)):
        rows[place]
    return None if len(rows) else "no row"


def nova(path: Path) -> str | None:
    """Validate each row by the model of AWS's own package for Nova."""
    # Its packages import what talks to AWS; the validator alone does not need it.
    place = Path(import_module("filetype").__file__ or "").parents[1]
    for name in ("", ".core", ".dataset", ".dataset.dataset_validator", ".util"):
        package = import_module("types").ModuleType(f"amzn_nova_forge{name}")
        package.__path__ = [str(place / package.__name__.replace(".", "/"))]
        sys.modules.setdefault(package.__name__, package)
    folder = "amzn_nova_forge.dataset.dataset_validator"
    sample = import_module(f"{folder}.sft_dataset_validator").SFTConverseDatasetSample
    enums = import_module("amzn_nova_forge.core.enums")
    context = {
        "model": enums.Model.NOVA_LITE_2,
        "platform": enums.Platform.BEDROCK,
        "training_method": enums.TrainingMethod.SFT_LORA,
    }
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line:
            sample.model_validate(json.loads(line), context=context)
    return None


def _load(path: Path) -> Any:
    datasets = import_module("datasets")
    with tempfile.TemporaryDirectory() as cache:
        return datasets.load_dataset(
            "json",
            data_files=str(path),
            split="train",
            cache_dir=cache,
            keep_in_memory=True,
        )


def _altered(rows: Any, path: Path) -> str | None:
    """Return whether the loaded messages differ from those in the file."""
    loaded = [_without_nulls(row.get("messages")) for row in rows]
    try:
        values = [json.loads(line) for line in path.read_bytes().splitlines() if line]
        written = [_without_nulls(value["messages"]) for value in values]
    except (ValueError, TypeError, KeyError):
        return None  # Not lines of messages; that it loads is all there is to say.
    for place, (given, found) in enumerate(zip(written, loaded, strict=True), 1):
        if given != found:
            return f"row {place} is not what the file says: {found}"
    return None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value


_made: dict[str, Any] = {}


def _tokenizer() -> Any:
    """Return a tokenizer of single bytes with a chat template."""
    if "tokenizer" not in _made:
        tokenizers = import_module("tokenizers")
        transformers = import_module("transformers")
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        vocabulary = {letter: place for place, letter in enumerate(sorted(alphabet))}
        backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
        backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|pad|>"
        )
        tokenizer.chat_template = _CHAT_TEMPLATE
        _made["tokenizer"] = tokenizer
    return _made["tokenizer"]


def _model() -> Any:
    """Return a model of random weights, the smallest possible."""
    if "model" not in _made:
        transformers = import_module("transformers")
        options = transformers.LlamaConfig(
            vocab_size=300,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
        )
        _made["model"] = transformers.LlamaForCausalLM(options)
    return _made["model"]


READERS: dict[str, Callable[[Path], str | None]] = {
    "together": together,
    "hf-datasets": hf_datasets,
    "mistral": mistral,
    "mlx": mlx,
    "trl": trl,
    "tinker": tinker,
    "nemo": nemo,
    "nova": nova,
}


def main() -> None:
    """Check the files; any exception of a reader is a refusal."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
    reader = READERS[sys.argv[1]]
    for name in sys.argv[2:]:
        try:
            said = reader(Path(name))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:200]
        sys.stdout.write(json.dumps({"file": name, "said": said}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
