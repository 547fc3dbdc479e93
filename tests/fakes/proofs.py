"""Proof of a module: the test file with its path, and the files that its docstring names after `Proved by`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LINE = re.compile(r"^Proved by (tests/\S+\.py)(?: and (tests/\S+\.py))?\.$")


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def mirrored(path: Path) -> Path:
    """Return the place of the tests of a module by its path from the root; a folder is tested under its name."""
    name = path.parent.name if path.stem == "__init__" else path.stem
    return Path("tests", path.parent, f"test_{name}.py")


def documentation(path: Path, root: Path = ROOT) -> str:
    """Return the docstring of a module."""
    return ast.get_docstring(_tree(root / path)) or ""


def named(path: Path, root: Path = ROOT) -> list[Path]:
    """Return the test files that the last line of a module's docstring names, by their paths from the root."""
    line = _LINE.match(documentation(path, root).rpartition("\n")[2])
    return [Path(name) for name in line.groups() if name] if line else []


def proofs(path: Path, root: Path = ROOT) -> list[Path]:
    """Return all test files that prove a module, by their paths from the root."""
    own = [mirrored(path)] if (root / mirrored(path)).exists() else []
    return own + named(path, root)


def has_code(path: Path, root: Path = ROOT) -> bool:
    """Return if a module computes anything; tables, types, protocols and re-exports do not."""
    for node in ast.walk(_tree(root / path)):
        if isinstance(node, ast.Lambda):
            return True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not all(map(_is_text, node.body)):
            return True
    return False


@cache
def reached(test: Path, root: Path = ROOT) -> frozenset[Path]:
    """Return the modules that a test file imports, directly or through others, or drives by the command line.

    A fixture counts with what its own code uses, if the test names it.
    """
    text = (root / test).read_text("utf-8")
    todo = set(_imported(root, test))
    for folder in test.parents[:-1]:
        if (root / folder / "conftest.py").exists():
            todo |= _fixture_imports(root, folder / "conftest.py", set(re.findall(r"\w+", text)))
    known: set[Path] = set()
    while todo:
        path = todo.pop()
        known.add(path)
        todo |= _imported(root, path) - known
    return frozenset(known)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@cache
def _file(root: Path, name: str) -> Path | None:
    """Return the file of a dotted name; the tests import their stand-ins as `fakes`."""
    place = Path("tests", *name.split(".")) if name.startswith("fakes.") else Path(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if (root / path).exists()), None)


def _bound(root: Path, tree: ast.AST) -> Iterator[tuple[str, Path]]:
    """Yield each name that a file imports from the project, with the file behind it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                file = _file(root, f"{node.module}.{alias.name}") or _file(root, node.module)
                if file:
                    yield alias.asname or alias.name, file
        elif isinstance(node, ast.Import):
            yield from ((alias.name, file) for alias in node.names if (file := _file(root, alias.name)))


@cache
def _imported(root: Path, path: Path) -> frozenset[Path]:
    found = {file for _, file in _bound(root, _tree(root / path))}
    if path.parts[0] == "tests" and '"-m", "gateway' in (root / path).read_text("utf-8"):
        found.add(Path("gateway/__main__.py"))
    return frozenset(found)


def _fixture_imports(root: Path, conftest: Path, used: set[str]) -> set[Path]:
    """Return the files behind the names in those fixtures that are used, and in the fixtures that these use."""
    tree = _tree(root / conftest)
    files = dict(_bound(root, tree))
    found: set[Path] = set()
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in used:
            names = set(re.findall(r"\w+", ast.unparse(node)))
            used |= names
            found |= {file for name, file in files.items() if name in names}
    return found
