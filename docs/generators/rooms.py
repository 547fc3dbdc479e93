"""Compute the rooms of the code, their arrows and their floors from the imports.

A room is a folder or a file directly in gateway/, or mappings/ as a whole, which has rooms of its own. An arrow goes
from a room to each other room that one of its files imports. A room on floor 1 imports no other room; any other room is
one floor above the highest room that it imports.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

Arrows = Mapping[str, frozenset[str]]
ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("gateway", "mappings")


class CircularImportError(ValueError):
    """Rooms import each other in a circle."""


def room_of(path: Path) -> str:
    """Return the room of a file, given by its path from the root: `mappings`, `feed`, `app`."""
    return "mappings" if path.parts[0] == "mappings" else path.parts[1].removesuffix(".py")


def mappings_room_of(path: Path) -> str:
    """Return the room of a file of mappings/: `fhir`, `patient`, `model`."""
    return path.parts[1].removesuffix(".py")


def arrows(
    root: Path = ROOT, packages: tuple[str, ...] = _PACKAGES, room_of: Callable[[Path], str] = room_of
) -> Arrows:
    """Return each room with the rooms that it imports."""
    files = [path.relative_to(root) for name in packages for path in (root / name).rglob("*.py")]
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in files}
    found: dict[str, set[str]] = {}
    for path in files:
        used = {room_of(modules[name]) for name in _imported(root / path, modules) if name in modules}
        found.setdefault(room_of(path), set()).update(used - {room_of(path), "__init__"})
    found.pop("__init__", None)
    return {room: frozenset(used) for room, used in found.items()}


def floors(graph: Arrows) -> dict[str, int]:
    """Return each room with its floor.

    Raises:
        CircularImportError: rooms import each other.
    """
    levels: dict[str, int] = {}
    while len(levels) < len(graph):
        ready = [room for room in graph if room not in levels and graph[room] <= levels.keys()]
        if not ready:
            raise CircularImportError(f"a circle among {sorted(graph.keys() - levels.keys())}")
        levels |= {room: 1 + max((levels[used] for used in graph[room]), default=0) for room in ready}
    return levels


def doors(root: Path = ROOT) -> Arrows:
    """Return each room with its modules that other rooms import."""
    files = [path.relative_to(root) for name in _PACKAGES for path in (root / name).rglob("*.py")]
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in files}
    found: dict[str, set[str]] = {}
    for path in files:
        for name in _imported(root / path, modules):
            if name in modules and room_of(modules[name]) != room_of(path):
                found.setdefault(room_of(modules[name]), set()).add(name)
    return {room: frozenset(entered) for room, entered in found.items()}


def floor_table() -> str:
    """Render the table of all rooms for docs/architecture.md."""
    return _table(arrows(), lambda room: ROOT / "mappings" if room == "mappings" else ROOT / "gateway" / room)


def mappings_table() -> str:
    """Render the table of the rooms of mappings/ for docs/architecture.md."""
    return _table(arrows(ROOT, ("mappings",), mappings_room_of), lambda room: ROOT / "mappings" / room)


def _table(graph: Arrows, folder_of: Callable[[str], Path]) -> str:
    """Render floors from the top, each room with the rooms that it uses."""
    levels = floors(graph)
    rows = ["| floor | room | what it is for | uses |", "|---|---|---|---|"]
    for room in sorted(graph, key=lambda one: (-levels[one], one)):
        below = sorted(graph[room], key=lambda one: (-levels[one], one))
        rows.append(f"| {levels[room]} | `{room}` | {_purpose(folder_of(room))} | {', '.join(below)} |")
    return "\n".join(rows)


def _imported(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in modules else node.module


def _purpose(folder: Path) -> str:
    """Return the first line of the docstring of a room."""
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text())) or "").splitlines()[0]
