"""House rule 6: files of at most 700 lines, functions of at most 40; literal tables and signatures do not count."""

import ast
import statistics
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for package in ("gateway", "mappings")
    for path in sorted((ROOT / package).rglob("*.py"))
}
parsed = cache(ast.parse)


def table_lines(tree: ast.Module) -> int:
    """Lines of module-level literals beyond their first: a table may be as long as the standard's."""
    return sum(
        node.end_lineno - node.lineno
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and is_literal(node.value)
    )


def is_literal(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return all(is_literal(part) for part in (*node.args, *(keyword.value for keyword in node.keywords)))
    if isinstance(node, ast.Dict):
        return all(is_literal(part) for part in (*(key for key in node.keys if key), *node.values))
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return all(is_literal(part) for part in node.elts)
    leaves = ast.Constant | ast.Name | ast.Attribute | ast.Starred | ast.JoinedStr | ast.UnaryOp | ast.Lambda
    return isinstance(node, leaves)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def test_each_file_has_at_most_700_lines() -> None:
    lines = {name: text.count("\n") - table_lines(parsed(text)) for name, text in SOURCES.items()}
    assert {name: number for name, number in lines.items() if number > 700} == {}


def test_each_function_has_at_most_40_lines() -> None:
    lines = {
        f"{name}:{node.lineno} {node.name}": body_lines(node)
        for name, text in SOURCES.items()
        for node in ast.walk(parsed(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: number for name, number in lines.items() if number > 40} == {}


def test_the_sizes_are_printed(record_property) -> None:
    sizes = sorted(text.count("\n") for text in SOURCES.values())
    record_property("median", statistics.median(sizes))
    record_property("p90", sizes[int(len(sizes) * 0.9)])
    assert sizes
