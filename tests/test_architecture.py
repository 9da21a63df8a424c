"""Who may call whom: the table of docs/architecture.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"flows", "tasks", "warehouse", "expectations", "fpt_model"}
PACKAGES = {
    "flows": {"prefect", "pydantic", "typer", "rich", "packaging", "torch", "yaml", "uvicorn"},
    "tasks": {"prefect", "httpx"},  # whose errors Prefect's client raises
    "warehouse": {"duckdb", "polars", "pyarrow", "numpy", "filelock", "httpx", "xlsxwriter"}
    | {"jinja2", "markupsafe"},  # the report
    "expectations": {"great_expectations", "sqlalchemy", "duckdb", "duckdb_engine"},
    "fpt_model": {"torch", "triton", "numpy", "pyarrow", "safetensors"},
}
OPTIONAL = {"fpt_model/simple/borrowed.py": {"scipy"}}  # comes with what its models need
OPTIONAL["warehouse/shared_store.py"] = {"obstore"}  # for `--pool`
OPTIONAL["warehouse/lake/server.py"] = {"psycopg"}  # for a lake
CALLS = {
    "flows": {"tasks", "warehouse", "fpt_model"},
    "tasks": {"warehouse", "expectations", "fpt_model"},
    "warehouse": set(),
    "expectations": set(),
    "fpt_model": set(),
}
# Of a room further down, the values and light functions only: what they import is checked below.
LIGHT = {"fpt_model.config", "fpt_model.version", "expectations.facts", "expectations.outcome"}
LIGHT |= {"expectations.suites", "fpt_model.files.finished", "fpt_model.files.kernels"}
LIGHT |= {"fpt_model.variants", "fpt_model.simple.settings", "fpt_model.grouping"}
LIGHT |= {"fpt_model.errors"}
LATE = {"expectations.runner"}  # imported inside the function that needs it
FLOW = re.compile(r'"flows\.(\w+):(\w+)"')
STANDARD = __import__("sys").stdlib_module_names


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def modules(path: Path) -> set[str]:
    """What a file imports, a module that is imported from its package under its own name."""
    nodes = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if type(n) is ast.ImportFrom]
    members = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
    return imports(path) | members


ENGINES = {"cpu", "distributed", "gpu", "jagged", "multiseed"}


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_it_may(room):
    assert files(room), f"{room}/ is empty"
    allowed = PACKAGES[room] | CALLS[room] | {room} | set(STANDARD)
    for path in files(room):
        own = allowed | OPTIONAL.get(str(path.relative_to(ROOT)), set())
        strangers = {name for name in imports(path) if name.split(".")[0] not in own}
        assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"


@pytest.mark.parametrize("room", ["flows", "tasks"])
def test_only_light_parts_of_the_science_and_the_audits_are_called(room):
    for path in files(room):
        far = {
            name for name in imports(path) if name.split(".")[0] in {"fpt_model", "expectations"}
        }
        assert far <= LIGHT | LATE, f"{path.relative_to(ROOT)} imports {far - LIGHT - LATE}"


def rooms_called(folder: Path) -> dict[str, set[str]]:
    """Of each folder in a package, the others that its files import, for types only too."""
    package = ".".join(folder.relative_to(ROOT).parts)
    found = {}
    for room in (path for path in folder.iterdir() if path.is_dir() and any(path.glob("*.py"))):
        names = set().union(*(modules(path) for path in room.rglob("*.py")))
        inside = {name.removeprefix(f"{package}.") for name in names if name.startswith(package)}
        found[room.name] = {name.split(".")[0] for name in inside} - {room.name}
    return found


def test_rooms_of_the_science_make_no_circle():
    """Each names those that it needs, and none of them, however far down, names it."""
    called = rooms_called(ROOT / "fpt_model")
    assert len(called) >= 8
    while called:
        free = {room for room, others in called.items() if not others & called.keys()}
        assert free, f"there is a circle among {sorted(called)}"
        called = {room: others for room, others in called.items() if room not in free}


def test_no_engine_imports_another():
    """What several need is in gpu/, which imports none of them."""
    called = rooms_called(ROOT / "fpt_model" / "engines")
    assert called.keys() == ENGINES
    for engine, others in called.items():
        own = others & ENGINES - {"gpu"}
        assert not own, f"{engine} imports {own}"
    assert "gpu" not in called["cpu"]


def test_light_parts_are_light():
    """Config, version, facts and outcomes import neither torch nor great_expectations."""
    import subprocess
    import sys

    code = f"import sys, {', '.join(sorted(LIGHT))}; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "great_expectations", "sqlalchemy"} & set(answer.stdout.split())


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_no_two_files_need_each_other(room):
    """Also where an import stands inside a function or is for types alone."""
    within = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files(room)
    }
    needs = {name: modules(path) & set(within) - {name} for name, path in within.items()}
    while leaves := [name for name, others in needs.items() if not others & set(needs)]:
        for name in leaves:
            del needs[name]
    assert not needs, f"in a circle, or need one: {sorted(needs)}"


def commands() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (path.name, node)
        for path in files("flows")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(one).startswith("app.command") for one in node.decorator_list)
    ]


def test_a_command_does_nothing_outside_its_guard():
    """What it imports, reads and shows may fail too: then there is one line, and no traceback."""
    assert len(commands()) >= 12
    for file, command in commands():
        outside: list[ast.AST] = list(command.body)
        while outside:
            node = outside.pop()
            assert not isinstance(node, ast.Import | ast.ImportFrom), f"{file}, {command.name}"
            if isinstance(node, ast.Call):
                said = f"{file}, {command.name}: {ast.unparse(node)}"
                assert ast.unparse(node.func) in {
                    "exit_on_error",
                    "run_flow",
                    "typer.Exit",
                    "str",
                }, said
            if not isinstance(node, ast.FunctionDef | ast.Lambda):
                outside += ast.iter_child_nodes(node)


def test_the_flows_that_commands_run_are_there():
    called = {found for path in files("flows") for found in FLOW.findall(path.read_text("utf-8"))}
    assert len(called) >= 9
    for file, name in called:
        body = ast.parse((ROOT / "flows" / f"{file}.py").read_text("utf-8")).body
        assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_no_file_in_flows_is_called_like_a_package():
    """Prefect's file entrypoints put flows/ first on sys.path."""
    names = {path.stem for path in files("flows")}
    assert not names & (set().union(*PACKAGES.values()) | ROOMS | set(STANDARD))


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_files_come_into_their_place_in_one_way(room):
    """A rename is only whole with what `placing.py` does before and after it."""
    for path in files(room):
        if path.name != "placing.py":
            found = [ast.unparse(call) for call in renames(path)]
            assert not found, f"{path.relative_to(ROOT)} renames by itself: {found}"


def renames(path: Path) -> list[ast.Call]:
    """Calls of Path.replace, Path.rename, os.replace, os.rename, shutil.move; not those of text."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if is_method(node)]
    return [
        call
        for call in calls
        if call.func.attr in ("rename", "renames", "replace", "move")
        and not call.keywords
        and (
            ast.unparse(call.func.value) in ("os", "shutil")
            or (len(call.args) == 1 and not isinstance(call.args[0], ast.Dict))
        )
    ]


def is_method(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
