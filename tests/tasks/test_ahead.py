"""Imports beside other work: whole for whoever needs them, silent, and no burden at the end."""

import ast
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.ahead import AHEAD, Ahead


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write modules by name and text, which are forgotten at the end."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(**texts: str) -> list[str]:
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text)
        names.extend(texts)
        return list(texts)

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_a_module_under_way_is_whole_for_whoever_needs_it(modules):
    ahead = Ahead(modules(ahead_slow="import time\ntime.sleep(0.3)\nvalue = 7\n"))
    ahead.begin()
    while "ahead_slow" not in sys.modules:
        time.sleep(0.001)
    import ahead_slow

    assert ahead_slow.value == 7
    ahead.end()


def test_none_is_begun_after_the_end_and_the_one_under_way_is_waited_for(modules):
    first = "import threading\nreached, go_on = threading.Event(), threading.Event()\n"
    first += "reached.set()\nassert go_on.wait(30)\nwhole = True\n"
    ahead = Ahead(modules(ahead_first=first, ahead_second=""))
    ahead.begin()
    while not hasattr(sys.modules.get("ahead_first"), "go_on"):
        time.sleep(0.001)
    threading.Timer(0.2, sys.modules["ahead_first"].go_on.set).start()
    ahead.end()
    assert sys.modules["ahead_first"].whole
    assert "ahead_second" not in sys.modules


def test_what_fails_is_told_where_it_is_needed_alone(modules, capfd):
    ahead = Ahead(modules(ahead_bad="raise ZeroDivisionError('of the module')", ahead_later=""))
    ahead.begin()
    ahead.end()
    assert capfd.readouterr() == ("", "")
    assert "ahead_later" not in sys.modules
    with pytest.raises(ZeroDivisionError, match="of the module"):
        import ahead_bad  # noqa: F401


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


BEGUN = "import sys, time; from tasks.ahead import Ahead; ahead = Ahead(); ahead.begin(); "


@pytest.mark.parametrize("after", [0.01, 0.2, 0.7])
def test_a_process_may_end_in_the_middle_of_it(after):
    done = run(f"import warehouse.database\n{BEGUN} time.sleep({after}); sys.exit(3)")
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.slow
def test_audits_are_imported_whole_and_report_to_nobody():
    code = "import warehouse.database\n" + BEGUN
    code += "from expectations.runner import audit; import os; before = set(sys.modules); "
    code += f"ahead.end(); after = all(name in before for name in {AHEAD}); "
    code += "print(os.environ['GX_ANALYTICS_ENABLED'], after, callable(audit))"
    done = run(code)
    assert (done.stdout.strip(), done.stderr) == ("false True True", "")


def imported(tree: ast.AST) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_nobody_imports_what_lies_below_a_package_that_may_be_under_way():
    """Python would not wait for the package: `pandas.io.parquet` beside `pandas` is an error."""
    root = Path(__file__).parents[2]
    others = {name.partition(".")[0] for name in AHEAD} - {"expectations"}
    found = [
        (path.name, name)
        for folder in ("flows", "tasks", "warehouse")
        for path in sorted((root / folder).rglob("*.py"))
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.partition(".")[0] in others and name not in AHEAD
    ]
    assert found == []
    auditing = (root / "tasks" / "auditing.py").read_text(encoding="utf-8")
    assert "expectations.runner" in imported(ast.parse(auditing))  # within a function
