"""Exports through Spark Connect, with Sail in the place of Spark."""
