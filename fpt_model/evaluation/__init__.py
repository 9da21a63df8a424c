"""Ranks of held-out items, and metrics of ranks."""
