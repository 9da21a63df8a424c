"""The model itself, which every engine is held to."""
