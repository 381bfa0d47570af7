"""Tests against a real PostgreSQL, a real dbt and the real command."""
