"""House rule: one room per capability, few floors, imports only downward; a new room adds four arrows and no floor."""

from __future__ import annotations

from pathlib import Path

import pytest
from generators.rooms import CircularImportError, arrows, doors, floors

ROOT = Path(__file__).parents[2]
MOST_FLOORS, MOST_ARROWS = 9, 115
MOST_DOORS, MOST_DOORS_OF_OTHERS = {"mappings": 43, "store": 41}, 20


def test_rooms_stand_on_few_floors_and_few_arrows_go_between_them() -> None:
    graph = arrows()
    assert max(floors(graph).values()) <= MOST_FLOORS, floors(graph)
    assert sum(map(len, graph.values())) <= MOST_ARROWS, graph


def test_a_room_is_entered_through_few_modules() -> None:
    entered = {room: len(modules) for room, modules in doors().items()}
    assert {room: count for room, count in entered.items() if count > MOST_DOORS.get(room, MOST_DOORS_OF_OTHERS)} == {}


def test_at_the_root_of_the_gateway_stand_only_its_name_its_command_and_the_service() -> None:
    assert {path.name for path in (ROOT / "gateway").glob("*.py")} == {"__init__.py", "__main__.py", "app.py"}


def test_rooms_that_import_each_other_are_named(tmp_path: Path) -> None:
    for room, other in (("one", "two"), ("two", "one")):
        folder = tmp_path / "gateway" / room
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "file.py").write_text(f"from gateway.{other} import file\n")
    with pytest.raises(CircularImportError, match="'one', 'two'"):
        floors(arrows(tmp_path))
