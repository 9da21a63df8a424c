"""Scripts of benchmarks/ are imported by their names, as they import each other."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))


def of(room: str) -> ModuleType:
    """What another room's tests share."""
    spec = importlib.util.spec_from_file_location(f"of_{room}", ROOT / f"tests/{room}/conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look
    spec.loader.exec_module(module)
    return module


# small histories to train on, and the command that does it, are those of the model's own tests
of_model = of("fpt_model")
user, write_sequences = of_model.user, of_model.write_sequences
learnable_rows, learnable = of_model.learnable_rows, of_model.learnable
run_command = of_model.run_command
forks = of("flows").forks


@pytest.fixture
def root():
    """The checkout."""
    return ROOT
