"""Keys under which Triton finds a compiled kernel again, made the same in every process.

A key has the constants that a kernel and all it calls take from their modules. Before 3.8 Triton
leaves out those of a function whose own key was not asked for before: then it depends on what was
launched earlier, or on another thread, whether the next process finds the kernel or compiles it
anew. So the keys of what is called are asked for first.
"""

from types import ModuleType
from typing import Any

from triton import knobs
from triton.runtime.jit import JITFunction


def settle(kernel: Any) -> None:
    """Ask for the keys of all that a kernel calls, and then for its own."""
    _settle(kernel, set())


def _settle(kernel: Any, seen: set[int]) -> None:
    if id(kernel) in seen:
        return
    seen.add(id(kernel))
    for one in called(kernel):
        _settle(one, seen)
    kernel.cache_key  # noqa: B018 - it is computed, and kept


def called(kernel: Any) -> list[Any]:
    """Functions for kernels that one names, by themselves or in their modules."""
    names = kernel.fn.__code__.co_names
    there = [kernel.fn.__globals__[name] for name in names if name in kernel.fn.__globals__]
    modules = [one for one in there if isinstance(one, ModuleType)]
    there += [
        getattr(module, name) for module in modules for name in names if hasattr(module, name)
    ]
    return [one for one in there if isinstance(one, JITFunction)]


def settle_all() -> None:
    """From now on do so before any kernel is compiled, or looked for."""
    if knobs.runtime.jit_cache_hook is None:
        knobs.runtime.jit_cache_hook = _before


def _before(*, fn: Any, **_: Any) -> bool:
    settle(fn.jit_function)
    return False
