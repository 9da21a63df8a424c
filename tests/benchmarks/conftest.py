"""Scripts of benchmarks/ are imported by their names, as they import each other."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

# small histories to train on, and the command that does it, are those of the model's own tests
spec = importlib.util.spec_from_file_location("of_model", ROOT / "tests/fpt_model/conftest.py")
of_model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(of_model)
user, write_sequences = of_model.user, of_model.write_sequences
learnable_rows, learnable = of_model.learnable_rows, of_model.learnable
run_command = of_model.run_command


@pytest.fixture
def root():
    """The checkout."""
    return ROOT
