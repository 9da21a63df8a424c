"""Functions that take many parameters of one list, without writing the list again at each."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

R = TypeVar("R")
Parameter = inspect.Parameter


def parameter(name: str, kind: Any, default: Any = Parameter.empty) -> Parameter:
    """A parameter that may be given by place or by name."""
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=kind, default=default)


def expanded(
    function: Callable[..., R],
    into: str,
    listed: Iterable[Parameter],
    collect: Callable[[dict[str, Any]], Any],
) -> Callable[..., R]:
    """`function`, but with the parameters `listed` in place of the one that is called `into`.

    Prefect and Typer read the signature that this has.

    Args:
        function: takes `into`.
        into: name of the parameter that gets what `collect` makes.
        listed: what callers give instead.
        collect: makes one value of those, by their names.
    """
    replaced = list(listed)
    plain = inspect.signature(function, eval_str=True)
    kept = list(plain.parameters.values())
    at = [one.name for one in kept].index(into)
    kept[at : at + 1] = replaced
    signature = plain.replace(parameters=sorted(kept, key=lambda one: one.default is not one.empty))

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> R:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = {one.name: bound.arguments.pop(one.name) for one in replaced}
        return function(**{into: collect(given)}, **bound.arguments)

    inner.__signature__ = signature  # type: ignore[attr-defined]
    inner.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()} | {
        "return": plain.return_annotation
    }
    return inner
