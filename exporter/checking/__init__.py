"""The engine of `finetune check`: what readers will say of a chat file."""
