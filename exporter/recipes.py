"""The shortest correct hand-off of an export to a trainer or provider: text only."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"


class Export(NamedTuple):
    """What a recipe must know of an export.

    `longest` are the tokens of the longest example, `max_tokens` a limit that
    leaves room above it, since every model counts a little differently.
    """

    train: Path
    valid: Path | None
    examples: int
    longest: int
    max_tokens: int


def room_above(longest: int) -> int:
    """Return the limit for examples of so many tokens: a quarter more, rounded up."""
    return max(256, -(-longest * 5 // 4 // 256) * 256)


def trl(export: Export) -> str:
    """Return a Python script for TRL."""
    valid = evaluation = ""
    if export.valid:
        valid = f'    "validation": "{export.valid}",\n'
        evaluation = '    eval_dataset=data["validation"],\n'
    return f"""\
# pip install trl
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

files = {{
    "train": "{export.train}",
{valid}\
}}
data = load_dataset("json", data_files=files)
SFTTrainer(
    model="{_MODEL}",
    train_dataset=data["train"],
{evaluation}\
    args=SFTConfig(
        output_dir="trained",
        # Without it the model learns to write the questions too.
        assistant_only_loss=True,
        # The default, 1,024, cuts silently; the longest example has {export.longest:,}.
        max_length={export.max_tokens},
    ),
).train()
"""


def unsloth(export: Export) -> str:
    """Return a Python script for Unsloth."""
    return f"""\
# pip install unsloth
from unsloth import FastLanguageModel
from unsloth.chat_templates import train_on_responses_only
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

model, tokenizer = FastLanguageModel.from_pretrained(
    "{_MODEL}",
    # What is longer is cut; the longest example has {export.longest:,}.
    max_seq_length={export.max_tokens},
)
model = FastLanguageModel.get_peft_model(model)
data = load_dataset("json", data_files="{export.train}", split="train").map(
    lambda row: {{
        "text": tokenizer.apply_chat_template(row["messages"], tokenize=False)
    }}
)
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=data,
    args=SFTConfig(
        output_dir="trained", dataset_text_field="text", max_length={export.max_tokens}
    ),
)
# Without it the model learns to write the questions too. The two marks are those
# of the model's chat template.
trainer = train_on_responses_only(
    trainer,
    instruction_part="<|im_start|>user\\n",
    response_part="<|im_start|>assistant\\n",
)
trainer.train()
"""


def mlx(export: Export) -> str:
    """Return a command for MLX-LM."""
    rest = export.examples % 4
    left_out = f"; {rest} of {export.examples:,} are never trained" if rest else ""
    return f"""\
# pip install mlx-lm
# The folder holds train.jsonl, and valid.jsonl with at least 4 examples or none.
# --mask-prompt: without it the model learns to write the questions too.
# --max-seq-length: 2,048 cuts silently; the longest example has {export.longest:,}.
# --iters: one epoch in batches of 4{left_out}.
mlx_lm.lora --train --model {_MODEL} --data {export.train.parent} \\
    --mask-prompt --max-seq-length {export.max_tokens} --batch-size 4 \\
    --iters {export.examples // 4}
"""


def llama_factory(export: Export) -> str:
    """Return the two files that LLaMA-Factory wants, and its command."""
    valid = evaluation = ""
    if export.valid:
        valid = f""",
  "products_valid": {{
    "file_name": "{export.valid.name}",
    "formatting": "sharegpt",
    "columns": {{"messages": "messages"}},
    "tags": {{
      "role_tag": "role", "content_tag": "content",
      "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"
    }}
  }}"""
        evaluation = "eval_dataset: products_valid\n"
    return f"""\
# 1. {export.train.parent}/dataset_info.json. "openai" instead of "sharegpt" would
#    add a sentence to every system prompt.
{{
  "products": {{
    "file_name": "{export.train.name}",
    "formatting": "sharegpt",
    "columns": {{"messages": "messages"}},
    "tags": {{
      "role_tag": "role", "content_tag": "content",
      "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"
    }}
  }}{valid}
}}

# 2. train.yaml. What is longer than cutoff_len (2048 by default) is cut silently;
#    the longest example has {export.longest:,}.
model_name_or_path: {_MODEL}
template: qwen
stage: sft
do_train: true
finetuning_type: lora
dataset_dir: {export.train.parent}
dataset: products
{evaluation}\
cutoff_len: {export.max_tokens}
output_dir: trained

# 3. The command.
llamafactory-cli train train.yaml
"""


def axolotl(export: Export) -> str:
    """Return a configuration for Axolotl."""
    evaluation = ""
    if export.valid:
        evaluation = f"""\
test_datasets:
  - path: {export.valid}
    ds_type: json
    split: train
    type: chat_template
    field_messages: messages
"""
    return f"""\
# axolotl train axolotl.yaml
base_model: {_MODEL}
datasets:
  - path: {export.train}
    ds_type: json
    type: chat_template
    field_messages: messages
    # The default, said aloud: nothing else is learned.
    roles_to_train: [assistant]
{evaluation}\
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
# What is longer is dropped, not cut; the longest example has {export.longest:,}.
sequence_len: {export.max_tokens}
micro_batch_size: 4
gradient_accumulation_steps: 1
num_epochs: 1
learning_rate: 0.0002
output_dir: trained
"""


def together(export: Export) -> str:
    """Return the commands of Together's client."""
    upload = evaluation = ""
    if export.valid:
        upload = f"together files upload {export.valid}\n"
        evaluation = "    --validation-file VALID_FILE_ID --n-evals 5 \\\n"
    return f"""\
# pip install 'together<2'; export TOGETHER_API_KEY=...
together files upload {export.train}
{upload}\
# --train-on-inputs false: else the questions may be learned, and paid, too.
together fine-tuning create --training-file FILE_ID \\
{evaluation}\
    --model MODEL --train-on-inputs false --lora --n-epochs 1
"""


def fireworks(export: Export) -> str:
    """Return the commands of Fireworks' client."""
    valid = evaluation = ""
    if export.valid:
        valid = f"firectl dataset create products-valid {export.valid}\n"
        evaluation = "    --evaluation-dataset products-valid \\\n"
    return f"""\
# Direct uploads hold 150 MB; this file has at least 3 examples: {export.examples:,}.
firectl dataset create products {export.train}
{valid}\
# --max-context-length: what is longer is cut; the longest has {export.longest:,}.
firectl supervised-fine-tuning-job create --base-model MODEL --dataset products \\
{evaluation}\
    --output-model products-model --max-context-length {export.max_tokens} --epochs 1
"""


def nebius(export: Export) -> str:
    """Return our own commands, with Nebius for an endpoint."""
    return f"""\
export OPENAI_BASE_URL=https://api.tokenfactory.nebius.com/v1/ OPENAI_API_KEY=...
finetune upload -o {export.train.parent}
# hyperparameters.lora: the default there trains every weight, at a higher price.
finetune train -o {export.train.parent} --model MODEL \\
    --extra hyperparameters.lora=true --dry-run
# Read the request, then again with --yes instead of --dry-run.
"""


def azure(export: Export) -> str:
    """Return our own commands, with Azure for an endpoint."""
    return f"""\
export OPENAI_BASE_URL=https://RESOURCE.openai.azure.com/openai/v1/ OPENAI_API_KEY=...
finetune upload -o {export.train.parent}
# trainingType: Azure wants to be told which kind of training is paid.
finetune train -o {export.train.parent} --model MODEL --epochs 1 \\
    --extra 'trainingType="GlobalStandard"' --dry-run
# Read the request, then again with --yes instead of --dry-run.
"""


RECIPES: dict[str, Callable[[Export], str]] = {
    "trl": trl,
    "mlx": mlx,
    "llama-factory": llama_factory,
    "axolotl": axolotl,
    "unsloth": unsloth,
    "together": together,
    "fireworks": fireworks,
    "nebius": nebius,
    "azure": azure,
}
