"""Great Expectations, without what only those of its expectations would need that we don't use.

SciPy's statistics and Altair are two fifths of its import. They are imported when they are asked
for something.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["BatchExpectation", "Expectation", "PrivateAttr", "SQLDatasource", "gx", "gxe"]

UNUSED = ("altair", "scipy.stats")


class _Later(ModuleType):
    """Stands for a module that nobody has asked for anything yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # whoever looks through all modules
            raise AttributeError(name)
        _forget(self)
        return getattr(import_module(self.__name__), name)


def _forget(module: ModuleType) -> None:
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


@contextmanager
def _imported_later(*names: str) -> Iterator[None]:
    """In the block these modules are not imported; whoever tries to has something in its place."""
    later = [_Later(name) for name in names if name not in sys.modules]
    sys.modules.update((module.__name__, module) for module in later)
    try:
        yield
    finally:
        for module in later:
            _forget(module)


with _imported_later(*UNUSED):
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.compatibility.pydantic import PrivateAttr
    from great_expectations.datasource.fluent import SQLDatasource
    from great_expectations.expectations.expectation import BatchExpectation, Expectation
