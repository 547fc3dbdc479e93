"""Mutants of a file: one operator, constant, condition, result or statement is changed at one place.

Texts for people are left out: documentation, log lines, and messages of errors. So are annotations, decorators, the
inside of f-strings, and the words of long tables: they are data, and a test that repeats them proves nothing.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

_COMPARISONS: dict[type, tuple[type[ast.cmpop], ...]] = {
    **{ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt)},
    **{ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,)},
    **{ast.In: (ast.NotIn,), ast.NotIn: (ast.In,)},
}
_ARITHMETIC: dict[type, type[ast.operator]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.FloorDiv, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr},
}
_LONG_TABLE = 20  # entries
_LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
_Change = tuple[str, ast.expr | ast.stmt, str]


@dataclass(frozen=True)
class Mutant:
    """A change of a file: bytes `start` to `end` of its text become `after`; `row` shows its first line, changed."""

    kind: str
    line: int
    start: int
    end: int
    after: str
    row: str

    def applied(self, text: str) -> str:
        """Return the text of the file with the change."""
        data = text.encode()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()


@cache
def mutants(text: str) -> list[Mutant]:
    """Return all mutants of a file."""
    lines = text.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    found = []
    for kind, node, after in _walk(ast.parse(text)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        line = lines[node.lineno - 1]
        rest = line[node.end_col_offset :] if node.end_lineno == node.lineno else b""
        row = f"{line.decode().strip()} => {(line[: node.col_offset] + after.encode() + rest).decode().strip()}"
        found.append(Mutant(kind, node.lineno, start, end, after, row))
    return found


def _walk(node: ast.AST) -> Iterator[_Change]:
    if not _is_for_people(node):
        yield from _changes(node)
        for part in _parts(node):
            yield from _walk(part)


def _is_for_people(node: ast.AST) -> bool:
    """Return if a node only documents, or writes a log line."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=log, attr=name))):
            return name in _LOG_METHODS and ast.unparse(log).removesuffix("()").endswith(("log", "logger"))
    return False


def _parts(node: ast.AST) -> Iterable[ast.AST]:
    """Return the parts of a node that may be changed too; Python 3.11 does not know the places inside f-strings."""
    match node:
        case ast.JoinedStr() | ast.Raise() | ast.Subscript(value=ast.Name(id="Literal")):
            return []
        case ast.FunctionDef(args=args, body=body) | ast.AsyncFunctionDef(args=args, body=body):
            return [*args.defaults, *filter(None, args.kw_defaults), *body]
        case ast.ClassDef(body=body):
            return body
        case ast.AnnAssign(value=ast.expr() as value, annotation=kind) if ast.unparse(kind) != "TypeAlias":
            return [value]
        case ast.AnnAssign():
            return []
        case ast.Dict() | ast.Set() | ast.List() | ast.Tuple():
            leaves = list(_leaves(node))
            return [leaf for leaf in leaves if len(leaves) <= _LONG_TABLE or not isinstance(leaf, ast.Constant)]
    return ast.iter_child_nodes(node)


def _leaves(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the entries of a table, and of the tables in it."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.Dict | ast.Set | ast.List | ast.Tuple | ast.Starred):
            yield from _leaves(part)
        elif not isinstance(part, ast.expr_context):
            yield part


def _changes(node: ast.AST) -> Iterator[_Change]:
    """Yield each change at a node: its kind, the node that is replaced, and its new text."""
    match node:
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield "condition", test, f"(not ({ast.unparse(test)}))"
        case ast.comprehension(ifs=tests):
            yield from (("condition", test, f"(not ({ast.unparse(test)}))") for test in tests)
        case ast.Return(value=ast.Constant(value=None | True | False)):
            return  # the constant is changed instead
        case ast.Return(value=ast.expr()):
            yield "result", node, "return None"
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield "statement", node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "statement", node, "pass"
        case ast.Constant():
            yield from (("constant", node, repr(value)) for value in _other(node.value))
        case ast.expr():
            yield from _operators(node)


def _operators(node: ast.expr) -> Iterator[_Change]:
    match node:
        case ast.Compare(ops=ops):
            for place, operator in enumerate(ops):
                for other in _COMPARISONS[type(operator)]:
                    yield "comparison", node, _with(node, ops=[*ops[:place], other(), *ops[place + 1 :]])
        case ast.BoolOp(op=operator):
            yield "boolean", node, _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "boolean", node, f"({ast.unparse(operand)})"
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC:
            yield "arithmetic", node, _with(node, op=_ARITHMETIC[type(operator)]())


def _with(node: ast.expr, **fields: object) -> str:
    """Return the text of an expression with some fields changed."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return f"({ast.unparse(other)})"


def _other(value: object) -> Iterator[object]:
    """Yield another value for a constant."""
    match value:
        case bool():
            yield not value
        case int() | float():
            yield value + 1
        case str():
            yield f"XX{value}"
        case bytes():
            yield b"XX" + value
