"""docs/security.md: its tables name tests that exist, and each threat has at least one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CITED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
DOCUMENTS = ("docs/security.md",)
STRIDE = frozenset("STRIDE")


def unknown(text: str) -> list[str]:
    """Return each cited test that does not exist."""
    return [f"{file}::{name}" for file, name in CITED.findall(text) if name not in names_in(ROOT / file)]


def names_in(path: Path) -> set[str]:
    """Return the names of a file's tests; none if there is no such file."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def threats(text: str) -> list[list[str]]:
    """Return the cells of each row of the tables of threats."""
    tables = re.findall(r"<!-- threats -->\n(.*?)<!-- end -->", text, re.DOTALL)
    rows = [line for table in tables for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def unproved(text: str) -> list[str]:
    """Return each threat without a letter of STRIDE, a control or a test."""
    rows = threats(text)
    return [row[1] for row in rows if len(row) != 4 or row[0] not in STRIDE or not row[2] or not CITED.search(row[3])]


@pytest.mark.full
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_test_that_a_document_of_security_cites_exists(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    assert len(CITED.findall(text)) > 50
    assert text.count("::test_") == len(CITED.findall(text))
    assert unknown(text) == []


def test_each_threat_has_a_letter_of_stride_a_control_and_a_test() -> None:
    text = (ROOT / "docs/security.md").read_text("utf-8")
    assert unproved(text) == []
    assert len(threats(text)) > 60


def test_the_boundary_to_clients_has_threats_of_every_kind() -> None:
    section = (ROOT / "docs/security.md").read_text("utf-8").partition("## 1. ")[2].partition("\n## 2. ")[0]
    assert {row[0] for row in threats(section)} == STRIDE


def test_a_test_that_does_not_exist_and_a_threat_without_one_are_named() -> None:
    row = "| S | Somebody lies. | A lock. | `tests/docs/test_threat_model.py::test_gone` |"
    bare = "| S | Nobody looks. | A lock. | - |"
    text = f"<!-- threats -->\n| | threat | control | proof |\n|---|---|---|---|\n{row}\n{bare}\n<!-- end -->"
    assert unknown(text) == ["tests/docs/test_threat_model.py::test_gone"]
    assert unproved(text) == ["Nobody looks."]
