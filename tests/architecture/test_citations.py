"""House rule 1: a module's docstring says its purpose, and the clause it carries out."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for package in ("gateway", "mappings")
    for path in sorted((ROOT / package).rglob("*.py"))
}
CLAUSE = re.compile(r"https?://\S+|HL7 v2\.5\.1 |RFC \d+|DICOM PS3|AutoScribe REST API")
UNCITED = dict(line.split(": ", 1) for line in (ROOT / "tests/architecture/uncited.txt").read_text().splitlines())


def test_each_module_names_its_clause_or_stands_in_the_list_of_those_that_have_none() -> None:
    modules = {name: ast.parse(text) for name, text in SOURCES.items()}
    docstrings = {name: ast.get_docstring(module) or "" for name, module in modules.items()}
    assert [name for name, docstring in docstrings.items() if not docstring] == []
    # One that is a docstring alone gives the purpose of the room
    work = [name for name, module in modules.items() if not (name.endswith("/__init__.py") and len(module.body) == 1)]
    assert len(work) > 450
    assert [name for name in work if not CLAUSE.search(docstrings[name]) and name not in UNCITED] == []
    assert [name for name in work if CLAUSE.search(docstrings[name]) and name in UNCITED] == []


def test_the_list_of_uncited_modules_names_only_modules_that_are_there() -> None:
    assert [name for name in UNCITED if not (ROOT / name).exists()] == []


def test_no_module_is_a_grab_bag() -> None:
    bags = {"utils", "util", "common", "base", "manager", "helpers", "misc"}
    assert [name for name in SOURCES if Path(name).stem in bags] == []


def test_no_branch_is_hidden_from_coverage_and_no_type_from_mypy() -> None:
    hides = re.compile(r"pragma: no cover|# type: ignore(?!\[)|# noqa(?!:)")
    assert [name for name, text in SOURCES.items() if hides.search(text)] == []


def test_every_decision_that_is_cited_is_in_the_document_of_decisions() -> None:
    known = set(re.findall(r"^### (D\d+)\. ", (ROOT / "docs/decisions.md").read_text(), re.MULTILINE))
    texts = [
        path.read_text() for name in ("gateway", "mappings", "docs", "tests") for path in (ROOT / name).rglob("*.py")
    ]
    texts += [path.read_text() for path in (ROOT / "docs").rglob("*.md")]
    cited = {found for text in texts for found in re.findall(r"\bD\d{1,2}\b(?!-)", text) if found != "D1"}
    assert sorted(cited - known) == []
