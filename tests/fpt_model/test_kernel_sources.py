"""What Triton compiles and its interpreter does not notice; findings/ has some, by version."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ENGINES = Path(__file__).parents[2] / "fpt_model" / "engines"


def device_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(ENGINES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            marks = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            if any("triton.jit" in ast.unparse(one) for one in marks):
                yield f"{path.parent.name}/{path.stem}.{node.name}", node


FUNCTIONS = dict(device_functions())


def handed_on(function: ast.AST) -> list[str]:
    """Elements of the constant tuple INPUTS that a call takes as they are."""
    return [
        ast.unparse(call)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) != "tl.constexpr"
        for argument in call.args
        if isinstance(argument, ast.Subscript) and ast.unparse(argument.value) == "INPUTS"
    ]


def early_returns(function: ast.AST) -> list[str]:
    """Values that are returned from within an `if`, with something after it."""
    return [
        ast.unparse(inner)
        for node in ast.walk(function)
        if isinstance(node, ast.If) and node not in getattr(function, "body", [])[-1:]
        for inner in ast.walk(node)
        if isinstance(inner, ast.Return) and inner.value is not None
    ]


def test_there_are_kernels_to_look_at():
    assert len(FUNCTIONS) > 60
    assert any("INPUTS" in ast.unparse(one) for one in FUNCTIONS.values())


def test_tuples_of_a_tuple_are_named_constants_and_nothing_follows_a_return():
    """Triton 3.6 hands on no tuple of a tuple; all versions compile what is not reached."""
    assert {name: handed_on(one) for name, one in FUNCTIONS.items() if handed_on(one)} == {}
    assert {name: early_returns(one) for name, one in FUNCTIONS.items() if early_returns(one)} == {}


def test_both_checks_find_what_they_look_for():
    lines = ["if INPUTS[0][1] == 1:", "    return g(p, INPUTS[0])", "return p * 2"]
    wrong = ast.parse("\n".join(["def f(p, INPUTS):", *(f"    {line}" for line in lines)])).body[0]
    assert handed_on(wrong) == ["g(p, INPUTS[0])"]
    assert early_returns(wrong) == ["return g(p, INPUTS[0])"]


def shared_loads(function: ast.AST) -> list[str]:
    """Loads of a loop in stages that both a product and something else reads."""
    loops = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.For) and "num_stages" in ast.unparse(node.iter)
    ]
    return [name for loop in loops for name in sorted(_loaded(loop)) if _is_shared(loop, name)]


def _loaded(loop: ast.For) -> set[str]:
    """Names of what is loaded as it is: one that is bound anew stands for another value."""
    bound = [
        (target.id, ast.unparse(node.value))
        for node in ast.walk(loop)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    times = Counter(name for name, _ in bound)
    return {name for name, value in bound if value.startswith("tl.load(") and times[name] == 1}


def _is_shared(loop: ast.For, name: str) -> bool:
    def reads(node: ast.AST) -> int:
        types = re.findall(rf"\b{name}\.dtype\b", ast.unparse(node))  # which read no value
        return sum(
            isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Load)
            for one in ast.walk(node)
        ) - len(types)

    products = [
        node
        for node in ast.walk(loop)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("product", "tl.dot")
    ]
    by_products = sum(map(reads, products))
    return 0 < by_products < reads(loop)


def test_what_a_product_reads_nothing_else_reads():
    """Of such a load Triton keeps a buffer less, and the next one fills what a product reads."""
    staged = [name for name, one in FUNCTIONS.items() if "num_stages" in ast.unparse(one)]
    assert "multiseed/weight_grads.weight_grad" in staged
    assert [name for name in staged if shared_loads(FUNCTIONS[name])] == []
    loop = "for n in tl.range(4, num_stages=3):\n    a = tl.load(x)\n    b = tl.load(y)\n"
    loop += "    total += product(tl.trans(a), b)\n"
    assert shared_loads(ast.parse(loop)) == []
    assert shared_loads(ast.parse(loop + "    biases += tl.sum(a, 0)\n")) == ["a"]
    assert shared_loads(ast.parse(loop + "    biases += product(a, ones).to(b.dtype)\n")) == []
    assert shared_loads(ast.parse(loop.replace("    total", "    a = a * 2\n    total"))) == []


class Accesses(ast.NodeVisitor):
    """Memory that a kernel reads and then writes over, or writes and then reads, without waiting.

    Threads share a tile's elements out anew for each load and store, so a thread can write where
    another one has yet to read; only a barrier is waited for. A written value that comes from what
    was read there is no fault: it is not known earlier. Memory is the argument that an address
    begins with; what is called is not looked into.

    Attributes:
        faults: the lines, with the argument.
    """

    def __init__(self, function: ast.FunctionDef) -> None:
        self.faults: list[tuple[int, str]] = []
        self.pointers: dict[str, str] = {}  # the argument that an address begins with
        self.sources: dict[str, set[str]] = {}  # arguments that a value was read from
        self.read: set[str] = set()
        self.written: set[str] = set()
        for statement in function.body:
            self.visit(statement)

    def memory(self, address: ast.expr) -> str:
        while not isinstance(address, ast.Name):
            match address:
                case ast.BinOp():
                    address = address.left
                case ast.Subscript() | ast.Attribute():
                    address = address.value
                case ast.Call():
                    address = address.func if not address.args else address.args[0]
                case _:
                    return ast.unparse(address)
        return self.pointers.get(address.id, address.id)

    def read_from(self, value: ast.expr) -> set[str]:
        found = set()
        for node in ast.walk(value):
            if isinstance(node, ast.Name):
                found |= self.sources.get(node.id, set())
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "tl.load":
                found.add(self.memory(node.args[0]))
        return found

    def assigned(self, target: ast.expr, value: ast.expr, *, more: bool = False) -> None:
        names = [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]
        for name in names:
            before = self.sources.get(name, set()) if more else set()
            self.sources[name] = before | self.read_from(value)
        if len(names) == 1 and not more:
            self.pointers[names[0]] = self.memory(value)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        self.assigned(node.targets[0], node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        self.assigned(node.target, node.value, more=True)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        match ast.unparse(node.func):
            case "tl.debug_barrier":
                self.read, self.written = set(), set()
            case "tl.load":
                memory = self.memory(node.args[0])
                self.read.add(memory)
                if memory in self.written:
                    self.faults.append((node.lineno, memory))
            case "tl.store":
                memory = self.memory(node.args[0])
                self.written.add(memory)
                if memory in self.read and memory not in self.read_from(node.args[1]):
                    self.faults.append((node.lineno, memory))


def test_no_kernel_writes_over_what_another_thread_has_yet_to_read():
    faults = {name: Accesses(one).faults for name, one in FUNCTIONS.items()}
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("x = tl.load(p + i)\ntl.store(q + i, x)\ntl.store(p + i, 0)", "p"),
        ("x = tl.load(p + i)\ntl.debug_barrier()\ntl.store(p + i, 0)", None),
        ("at = p + i\nx = tl.load(at)\nto = p + i\ny = 2 * x\ny += 1\ntl.store(to, y)", None),
        ("tl.store(p + i, 0)\nx = tl.load(p + j)", "p"),
        ("for i in tl.range(n):\n    x = tl.load(p + i)\n    tl.store(p + i, 0)", "p"),
    ],
)
def test_what_is_written_over_unread_is_found(body, fault):
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (function,) = ast.parse(f"def f(p, q, n, i, j):\n{lines}").body
    assert isinstance(function, ast.FunctionDef)
    assert [name for _, name in Accesses(function).faults] == ([fault] if fault else [])
