"""Parts of other packages that Great Expectations imports and audits do not use.

They stand there as modules that Python loads as soon as anything of them is asked for. Nothing
rests on it: who imports Great Expectations without this file gets them at once.
"""

import sys
from importlib import import_module
from importlib.util import LazyLoader, find_spec, module_from_spec

# For Great Expectations' tests of distributions, which no suite has: half a second.
UNUSED = ("scipy.stats",)


def stand_in(name: str) -> None:
    """Put a module where imports find it, to be loaded when it is used; none that is there."""
    parent, _, last = name.rpartition(".")
    package = import_module(parent)
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = LazyLoader(spec.loader)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    setattr(package, last, module)


for _name in UNUSED:
    stand_in(_name)
