"""Benchmarks of the exporter and of its alternatives."""
