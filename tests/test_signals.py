"""The models see what was planted and nothing else: the claim that the default world stands for."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "signals.py"
SEEDS = range(5)


@pytest.fixture(scope="module")
def signals():
    """The benchmark as a module; its worker processes must find it by name."""
    import sys

    spec = importlib.util.spec_from_file_location("signals", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["signals"] = module
    sys.path.insert(0, str(SCRIPT.parent))
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(SCRIPT.parent))
    del sys.modules["signals"]


@pytest.mark.parametrize("planted", ["gaps", "season", "groups", "nothing"])
def test_who_sees_the_signal_wins(signals, planted):
    truths = [truth for truth in signals.TRUTHS if truth.name == planted]
    rows = signals.measure(truths, SEEDS, "test", signals.SMALL, processes=2)
    assert [row for row in rows if not row["holds"]] == []
