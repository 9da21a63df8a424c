"""What audits do without is loaded when somebody asks for it."""

import subprocess
import sys

LOADED = "scipy.stats._stats_py"


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_audits_do_without_it_and_whoever_asks_gets_it_whole():
    suites = "import importlib; from expectations.suites import ALL; "
    suites += "[importlib.import_module(f'expectations.suites.{name}') for name in ALL]"
    code = f"""
import sys, warehouse.database, expectations.lazily, expectations.runner
{suites}
print({LOADED!r} in sys.modules)
from scipy import stats
print(stats.norm.cdf(0.0), {LOADED!r} in sys.modules)
from scipy.stats import norm
import scipy.stats
print(scipy.stats is stats, norm is stats.norm)
"""
    assert run(code) == ["False", "0.5", "True", "True", "True"]


def test_what_is_loaded_already_stays():
    code = "import scipy.stats as one, expectations.lazily, scipy.stats as two; print(one is two)"
    assert run(code) == ["True"]


def test_what_is_not_installed_is_left_alone():
    code = "import sys; from expectations.lazily import stand_in; stand_in('json.no_such'); "
    assert run(code + "print('json.no_such' in sys.modules)") == ["False"]
