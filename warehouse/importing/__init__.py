"""Scores of somebody else's model, from a file of theirs to ranks by our rule."""
