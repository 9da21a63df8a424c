"""Raw ratings to core interactions: pure functions from LazyFrame to LazyFrame, in the order of `core.py`."""
