"""Sequences, windows cut from them, negatives and what users have seen."""
