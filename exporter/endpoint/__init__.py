"""Endpoints with OpenAI's Files, Uploads and fine-tuning routes."""
