"""docs/architecture.md: each room has its page, and the types that a page names are the room's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from generators import rooms

ROOT = Path(__file__).parents[2]
PAGES = dict(
    re.findall(
        r"^### `(\w+)`\n(.*?)(?=^##)", (ROOT / "docs/architecture.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
)


def classes(room: str) -> Iterator[str]:
    """Yield the names of the classes of a room."""
    folder = ROOT / "mappings" if room == "mappings" else ROOT / "gateway" / room
    for path in folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]:
        yield from (node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef))


def test_every_room_has_a_page_and_every_page_a_room() -> None:
    assert PAGES.keys() == rooms.arrows().keys() - {"__main__"}
    assert [
        name for name, text in PAGES.items() if not all(f"**{one}.**" in text for one in ("In", "Out", "Never"))
    ] == []


def test_a_page_names_at_most_five_types_and_each_is_of_the_room() -> None:
    for name, text in PAGES.items():
        named = re.findall(r"`(\w+)`", "".join(re.findall(r"\*\*Types\.\*\*(.*)", text)))
        assert len(named) <= 5, name
        assert set(named) <= set(classes(name)), name
