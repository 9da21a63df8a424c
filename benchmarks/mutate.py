"""Mutants of a source text: small mistakes, one at a time, that tests should see.

Python by its syntax tree, SQL by its tokens. The tools on PyPI know Python alone (mutmut,
cosmic-ray), while most of what our metrics rest on is SQL, and conditions in SQL within Python.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

WIDTH = 150
BARE = 24


@dataclass(frozen=True)
class Mutant:
    """A change of a text.

    Attributes:
        path: of the file, relative to the repository.
        kind: of mistake.
        start: where it begins, in characters.
        end: where it ends.
        old: what stands there.
        new: what comes in its place.
        line: number of its line.
        before: the lines it touches, in one.
        after: what becomes of them.
    """

    path: str
    kind: str
    start: int
    end: int
    old: str
    new: str
    line: int
    before: str
    after: str

    def apply(self, text: str) -> str:
        """The mutated file."""
        return text[: self.start] + self.new + text[self.end :]


@dataclass(frozen=True)
class Change:
    """A mutant before it knows its file."""

    kind: str
    start: int
    end: int
    new: str


def mutants(path: str, text: str) -> list[Mutant]:
    """All mutants of a file, none of them twice, in the order of the text."""
    changes = _of_python(text) if path.endswith(".py") else _of_sql(text, 0, len(text))
    found: dict[str, Mutant] = {}
    for change in changes:
        mutant = _described(path, text, change)
        if mutant.old.split() != mutant.new.split():
            found.setdefault(mutant.apply(text), mutant)
    return sorted(found.values(), key=lambda one: (one.start, one.end, one.new))


def _described(path: str, text: str, change: Change) -> Mutant:
    first = text.rfind("\n", 0, change.start) + 1
    last = text.find("\n", change.end)
    last = len(text) if last < 0 else last
    if last - first < BARE:  # a bracket or a word alone does not say where it is
        last = text.find("\n", last + 1) if "\n" in text[last + 1 :] else len(text)
    old = text[change.start : change.end]
    after = text[first : change.start] + change.new + text[change.end : last]
    return Mutant(
        path,
        change.kind,
        change.start,
        change.end,
        old,
        change.new,
        text.count("\n", 0, change.start) + 1,
        _short(text[first:last]),
        _short(after),
    )


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= WIDTH else f"{words[: WIDTH // 2]} … {words[-WIDTH // 2 :]}"


# Python

# how it is written, and what comes in its place
COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<", "<=", ">="),
    ast.LtE: ("<=", "<", ">"),
    ast.Gt: (">", ">=", "<="),
    ast.GtE: (">=", ">", "<"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
# Words for people: what is left out or said otherwise there is no wrong figure.
SAID = {"reason", "got", "expected", "to_do", "err_msg", "shown"}
# Guards of joins and zips against mistakes of ours: of right code they change nothing.
SAID |= {"validate", "strict"}
HAS_SQL = re.compile(
    r"\b(FROM batch|SELECT|WHERE|GROUP BY|IS NULL|<>|lag\()|[<>=] ?\d|\b(and|AND)\b"
)


def _of_python(text: str) -> Iterator[Change]:
    tree = ast.parse(text)
    places = _Places(text)
    modules = {
        name.asname or name.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    for node in _counted(tree):
        yield from _of_expression(node, places)
        yield from _of_call(node, places, modules)
        yield from _of_statement(node, places)
        yield from _of_text(node, places)


class _Places:
    """Where nodes stand in a text; `ast` counts bytes of lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def _at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def of(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        """Its first character and the one after its last."""
        end = self._at(node.end_lineno or 0, node.end_col_offset or 0)
        return self._at(node.lineno, node.col_offset), end

    def code(self, node: ast.expr | ast.stmt) -> str:
        """Its text."""
        start, end = self.of(node)
        return self.text[start:end]

    def put(
        self, kind: str, node: ast.expr | ast.stmt, new: str, *, closed: bool = False
    ) -> Change:
        """Another text in its place, in brackets when it could bind otherwise."""
        start, end = self.of(node)
        return Change(kind, start, end, f"({new})" if closed else new)

    def between(self, one: ast.expr, other: ast.expr, old: str, new: str) -> Change:
        """Another operator between two operands."""
        start = self.text.index(old, self.of(one)[1])
        assert start < self.of(other)[0]
        return Change("operator", start, start + len(old), new)

    def without(self, items: list[ast.expr], place: int) -> Change:
        """A list without one of its elements, and without the comma after or before it."""
        start, end = self.of(items[place])
        if place + 1 < len(items):
            end = self.of(items[place + 1])[0]
        elif place:
            start = self.of(items[place - 1])[1]
        return Change("left out", start, end, "")


def _counted(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but types, decorators, imports, doc strings and what messages say."""
    for name, value in ast.iter_fields(tree):
        if name in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.AST) and not _is_said(tree, node):
                yield node
                yield from _counted(node)


def _is_said(parent: ast.AST, node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.keyword) and node.arg in SAID:
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a doc string
    # of an error the fact that it is raised counts
    return (isinstance(parent, ast.Call) and _called(parent).endswith("Error")) or (
        isinstance(parent, ast.Raise)
    )


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _of_expression(node: ast.AST, places: _Places) -> Iterator[Change]:  # noqa: PLR0912
    match node:
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for (one, other), op in zip(pairwise([left, *comparators]), ops, strict=True):
                old, *others = COMPARISONS[type(op)]
                for new in others:
                    yield places.between(one, other, old, new)
        case ast.BoolOp(op=op, values=values):
            old, new = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
            yield places.between(values[0], values[1], old, new)
            for value in (values[0], values[-1]):
                yield places.put("operand alone", node, places.code(value), closed=True)
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            yield places.put("not removed", node, places.code(operand), closed=True)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield places.put("sign removed", node, places.code(operand), closed=True)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            yield places.between(left, right, *ARITHMETIC[type(op)])
        case ast.IfExp(body=body, orelse=orelse):
            for part in (body, orelse):
                yield places.put("branch alone", node, places.code(part), closed=True)
        case ast.Constant(value=bool(value)):
            yield places.put("constant", node, str(not value))
        case ast.Constant(value=int(value)):
            yield places.put("constant", node, str(value + 1))
            yield places.put("constant", node, f"({value - 1})")
        case ast.Constant(value=float(value)):
            yield places.put("constant", node, repr(value * 1.1 + 0.01))
        case ast.List(elts=items) | ast.Tuple(elts=items) if isinstance(node.ctx, ast.Load):
            for place in range(len(items) if len(items) > 1 else 0):
                yield places.without(items, place)


def _of_call(node: ast.AST, places: _Places, modules: set[str]) -> Iterator[Change]:
    if not isinstance(node, ast.Call):
        return
    items = [*node.args, *(_as_expression(one) for one in node.keywords)]
    for place in range(len(items) if len(items) > 1 else 0):
        named = place - len(node.args)
        is_said = named >= 0 and node.keywords[named].arg in SAID
        # a function of ours needs what it is given by place
        if not is_said and (named >= 0 or isinstance(node.func, ast.Attribute)):
            yield places.without(items, place)
    if isinstance(node.func, ast.Attribute):
        value = node.func.value
        root: ast.AST = value
        while isinstance(root, ast.Attribute):
            root = root.value
        if not (isinstance(root, ast.Name) and root.id in modules):
            yield places.put("call removed", node, places.code(value))


def _as_expression(keyword: ast.keyword) -> ast.expr:
    """A keyword argument as something that has a place."""
    return ast.Name(
        id=str(keyword.arg),
        lineno=keyword.lineno,
        col_offset=keyword.col_offset,
        end_lineno=keyword.end_lineno,
        end_col_offset=keyword.end_col_offset,
    )


def _of_statement(node: ast.AST, places: _Places) -> Iterator[Change]:
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break():
            yield places.put("statement removed", node, "pass")
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield places.put("statement removed", node, "pass")
        case ast.If(test=test) | ast.While(test=test):
            yield places.put("condition turned", test, f"not ({places.code(test)})")
        case ast.comprehension(ifs=[test, *_]):
            yield places.put("filter removed", test, "True")


def _of_text(node: ast.AST, places: _Places) -> Iterator[Change]:
    """Conditions and queries in strings: of f-strings the parts between the braces stay."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        code = places.code(node) if node.end_lineno else ""
        quoted = re.fullmatch(r"""([rf]{0,2})("{3}|"|')(.*)\2""", code, re.DOTALL)
        if quoted and HAS_SQL.search(code):
            start = places.of(node)[0]
            yield from _of_sql(places.text, start + quoted.start(3), start + quoted.end(3))
    elif isinstance(node, ast.JoinedStr) and HAS_SQL.search(places.code(node)):
        start, end = places.of(node)
        yield from _of_sql(places.text, start, end)


# SQL

TOKEN = re.compile(
    r"""--[^\n]*|'(?:[^']|'')*'|"[^"]*"|\{[^}]*\}|\$\d+|\$\w+|\d+(?:\.\d+)?(?:e-?\d+)?|[A-Za-z_]\w*"""
    r"""|<>|<=|>=|::|!=|==|\*\*|//|\|\||[^\s\w]""",
    re.DOTALL,
)
SIGN = {"=": ("<>",), "<>": ("=",), "+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",)}
SIGN |= {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<")}
SIGN |= {"//": ("/",), "**": ("*",), "||": ("-",)}
PAIRS = "AND OR, ANTI SEMI, min max, bool_and bool_or, least greatest, recall ndcg, above below"
PAIRS += ", recall_10 ndcg_10, user_id item_id, model baseline, a b, lowest highest"
ONE_WAY = "stddev_samp stddev_pop, var_samp var_pop, nullif coalesce, row_number rank, log2 ln"
ONE_WAY += ", mrr ndcg, valid test"
WORD: dict[str, tuple[str, ...]] = {"sum": ("avg", "max"), "avg": ("sum", "max")}
WORD |= {"JOIN": ("LEFT JOIN",)}
WORD |= dict.fromkeys(("NOT", "DESC", "DISTINCT", "LEFT", "sqrt", "abs"), ("",))
WORD |= {old: (new,) for old, new in map(str.split, f"{PAIRS}, {ONE_WAY}".split(","))}
WORD |= {old: (new,) for new, old in map(str.split, PAIRS.split(","))}
NAMES = {"valid", "user_id", "item_id", "model", "baseline", "lowest", "highest", "mrr"}
NAMES |= {"recall", "ndcg", "recall_10", "ndcg_10"}
CLAUSE = {"WHERE", "QUALIFY", "HAVING", "FILTER"}
ENDS = {"GROUP", "ORDER", "WINDOW", "QUALIFY", "HAVING", "LIMIT", "UNION", "WHERE", "JOIN", "LEFT"}
ENDS |= {"ANTI", "SEMI", "CROSS", "SELECT", "FROM", "THEN", "ELSE", "END", "WHEN", "INSERT"}
LISTS = {"USING", "IN", "VALUES", "coalesce"}


@dataclass(frozen=True)
class _Token:
    text: str
    start: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        return self.text.upper() if self.text.upper() in ENDS | CLAUSE | {"AND", "OR"} else ""


def _of_sql(text: str, start: int, end: int) -> Iterator[Change]:
    tokens = list(_tokens(text, start, end))
    for place, token in enumerate(tokens):
        yield from _of_token(tokens, place)
        if token.word in CLAUSE:
            yield from _without_clause(tokens, place)
        if token.word in {"AND", "OR"} and tokens[place - 1].text != "CREATE":
            yield from _without_operand(tokens, place)
        if token.text == "(" and place and tokens[place - 1].text in LISTS:
            yield from _without_items(tokens, place)
        if token.text == "BY" and tokens[place + 1].text not in {"ALL", "NAME"}:
            yield from _without_keys(tokens, place)


def _tokens(text: str, start: int, end: int) -> Iterator[_Token]:
    """Without comments, and without the descriptions of views and columns."""
    depth, skipped = 0, False
    for found in TOKEN.finditer(text, start, end):
        word = found[0]
        if word.startswith("--"):
            continue
        if word == "COMMENT" and depth == 0:
            skipped = True
        if word in ")]":
            depth -= 1
        if not skipped:
            yield _Token(word, found.start(), found.end(), depth)
        if word in "([":
            depth += 1
        if word == ";":
            skipped = False


def _of_token(tokens: list[_Token], place: int) -> Iterator[Change]:  # noqa: PLR0912
    token = tokens[place]
    before = tokens[place - 1].text if place else ""
    after = tokens[place + 1].text if place + 1 < len(tokens) else ""
    if token.text in SIGN:
        is_star = token.text == "*" and (before in {"(", "SELECT", "."} or after == "REPLACE")
        is_sign = token.text == "-" and before in {"(", ",", "THEN", "ELSE", "=", "<", ">"}
        for new in () if is_star else ("",) if is_sign else SIGN[token.text]:
            yield Change("operator", token.start, token.end, new)
    elif re.fullmatch(r"\d+", token.text):
        for number in (int(token.text) + 1, int(token.text) - 1):
            yield Change("constant", token.start, token.end, str(number))
    elif re.match(r"\d", token.text):
        yield Change("constant", token.start, token.end, f"{float(token.text) * 1.1 + 0.01:.6g}")
    elif token.text.startswith("'") and before in {"=", "<>", ","} | {"IN", "("}:
        yield Change("constant", token.start, token.end, f"'~{token.text[1:]}")
    elif token.text in WORD:
        if token.text == "JOIN" and before in {"LEFT", "ANTI", "SEMI", "CROSS"}:
            return
        if token.text in {"a", "b", "above", "below"} and after != ".":
            return
        if before == "CREATE":
            return
        there = {one.text for one in tokens}
        for new in WORD[token.text]:
            if token.text in NAMES and new not in there:
                continue  # it would name nothing
            yield Change("word", token.start, token.end, new)
    elif token.text == "IS" and after == "NULL":
        yield Change("word", token.start, token.end, "IS NOT")
    elif token.text == "THEN":
        yield Change(
            "branch alone", token.end, _end(tokens, place, {"WHEN", "ELSE", "END"}), " NULL"
        )


def _end(tokens: list[_Token], place: int, stops: set[str]) -> int:
    """Where what follows a token ends: before one of these words, or its own bracket."""
    depth, last = tokens[place].depth, tokens[place]
    for token in tokens[place + 1 :]:
        if token.depth < depth or (
            token.depth == depth and (token.text.upper() in stops or token.text in ",;")
        ):
            break
        last = token
    return last.end


def _without_clause(tokens: list[_Token], place: int) -> Iterator[Change]:
    token = tokens[place]
    if token.word == "FILTER":
        stop = next(one for one in tokens[place:] if one.text == ")" and one.depth == token.depth)
        yield Change("clause removed", token.start, stop.end, "")
    else:
        yield Change("clause removed", token.start, _end(tokens, place, ENDS), "")


def _without_operand(tokens: list[_Token], place: int) -> Iterator[Change]:
    """The condition after AND or OR, and the one before it when it is the first."""
    token = tokens[place]
    if tokens[place - 2].text == "BETWEEN":
        return
    end = _end(tokens, place, ENDS | {"AND", "OR"})
    yield Change("condition removed", token.start, end, "")
    depth = token.depth
    for one in reversed(tokens[:place]):
        if one.depth < depth or (
            one.depth == depth and one.text.upper() in ENDS | {"ON", "AND", "OR"}
        ):
            if one.text.upper() in {"WHERE", "ON", "WHEN", "QUALIFY", "HAVING"}:
                yield Change("condition removed", one.end, token.end, " ")
            return


def _without_items(tokens: list[_Token], place: int) -> Iterator[Change]:
    """A list in brackets without one of its items."""
    depth = tokens[place].depth
    stop = next(
        number
        for number, one in enumerate(tokens)
        if number > place and one.text == ")" and one.depth == depth
    )
    commas = [one.start for one in tokens[place:stop] if one.text == "," and one.depth == depth + 1]
    yield from _without_each([tokens[place].end, *commas, tokens[stop].start])


def _without_keys(tokens: list[_Token], place: int) -> Iterator[Change]:
    """GROUP BY, ORDER BY, PARTITION BY without one of their keys."""
    depth, edges = tokens[place].depth, [tokens[place].end]
    end = edges[0]
    for token in tokens[place + 1 :]:
        if token.depth < depth or token.text == ";" or token.word in ENDS | {"ROWS"}:
            break
        if token.text == "," and token.depth == depth:
            edges.append(token.start)
        end = token.end
    yield from _without_each([*edges, end])


def _without_each(edges: list[int]) -> Iterator[Change]:
    """Edges are the beginning, the commas and the end."""
    for number, (start, end) in enumerate(pairwise(edges) if len(edges) > 2 else ()):
        yield Change("left out", start, end if number else end + 1, " ")
