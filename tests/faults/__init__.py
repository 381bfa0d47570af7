"""Faults at every moment of every command: the files after them, and the messages."""
