"""The table of manners: each fault that a receiver can have has a row, each row a test named after its fault."""

import ast
import re
from pathlib import Path

from gateway.sandbox.manners import MANNERS

# The feed's list of faults, those that a receiver has once it can be connected to: F4 to F12 less F11 (it restarts),
# F15 to F21, F23 to F38. F48 is any of them for one message.
FAULTS = {f"F{number}" for number in (*range(4, 11), 12, *range(15, 22), *range(23, 39))}
TESTS = (Path(__file__).parent / f"test_{name}.py" for name in ("connection_manners", "answer_manners", "late_acks"))


def named_tests():
    for path in TESTS:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.AsyncFunctionDef) and (fault := re.match(r"test_f(\d+)_", node.name)):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                yield f"F{fault[1]}", "\n".join(text.split("\n")[first - 1 : node.end_lineno])


def test_every_fault_of_a_receiver_has_a_row():
    assert {fault for manner in MANNERS.values() for fault in manner.faults} == FAULTS


def test_every_row_has_a_test_that_is_named_after_its_fault():
    tests = list(named_tests())
    shown = [
        (name, fault)
        for name, manner in MANNERS.items()
        for fault in manner.faults
        if not any(fault == of and re.search(rf'"{name}[":]', text) for of, text in tests)
    ]
    assert shown == []


def test_every_row_acts_either_on_a_connection_or_on_a_message_and_says_so_in_a_line():
    for manner in MANNERS.values():
        assert (manner.act is None) != (manner.meet is None)
        assert manner.about and "\n" not in manner.about
        assert manner.code is None or manner.act is not None
    assert len({manner.about for manner in MANNERS.values()}) == len(MANNERS)


def test_the_document_about_the_sandbox_has_every_row():
    text = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text("utf-8")
    assert [name for name in MANNERS if f"| `{name}` |" not in text] == []
