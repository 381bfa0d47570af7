"""Faults at every moment of every command: what stands afterwards, and what is said."""
