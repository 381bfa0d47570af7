"""Export tested training pairs from PostgreSQL to fine-tuning files."""

__version__ = "0.1.0"
