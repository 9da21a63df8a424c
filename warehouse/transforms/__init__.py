"""Raw ratings to core interactions: pure functions of frames, in the order of `core.py`."""
