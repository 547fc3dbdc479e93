"""House rule 1: a module's docstring says its purpose, and the clause it carries out."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("gateway", "mappings") for path in (ROOT / package).rglob("*.py"))
CLAUSE = re.compile(r"https?://\S+|HL7 v2\.5\.1 |RFC \d+|DICOM PS3|AutoScribe REST API")
UNCITED = dict(line.split(": ", 1) for line in (ROOT / "tests/architecture/uncited.txt").read_text().splitlines())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_names_its_clause_or_stands_in_the_list_of_those_that_have_none(path: Path) -> None:
    module = ast.parse(path.read_text())
    docstring = ast.get_docstring(module)
    assert docstring, "a module docstring"
    if path.name == "__init__.py" and len(module.body) == 1:
        return  # it gives the purpose of the room
    name = str(path.relative_to(ROOT))
    cites = CLAUSE.search(docstring) is not None
    assert cites != (name in UNCITED), f"{name} cites a clause, or stands in uncited.txt with its reason, not both"


def test_the_list_of_uncited_modules_names_only_modules_that_are_there() -> None:
    assert [name for name in UNCITED if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_a_grab_bag(path: Path) -> None:
    assert path.stem not in {"utils", "util", "common", "base", "manager", "helpers", "misc"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_branch_is_hidden_from_coverage_and_no_type_from_mypy(path: Path) -> None:
    found = re.findall(r"pragma: no cover|# type: ignore(?!\[)|# noqa(?!:)", path.read_text())
    assert found == []


def test_every_decision_that_is_cited_is_in_the_document_of_decisions() -> None:
    known = set(re.findall(r"^### (D\d+)\. ", (ROOT / "docs/decisions.md").read_text(), re.MULTILINE))
    texts = [
        path.read_text() for name in ("gateway", "mappings", "docs", "tests") for path in (ROOT / name).rglob("*.py")
    ]
    texts += [path.read_text() for path in (ROOT / "docs").rglob("*.md")]
    cited = {found for text in texts for found in re.findall(r"\bD\d{1,2}\b(?!-)", text) if found != "D1"}
    assert sorted(cited - known) == []
