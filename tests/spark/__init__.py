"""Exports through Spark Connect, from Sail instead of Spark."""
