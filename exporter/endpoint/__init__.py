"""Whatever speaks OpenAI's Files, Uploads and fine-tuning routes."""
