"""The embedded PostgreSQL and `finetune local`."""
