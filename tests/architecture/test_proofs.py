"""House rule: each module has tests with its own path, or its docstring names the test files that prove it.

Excepted are modules that compute nothing (tables, types, protocols, re-exports), and migrations, which all share
tests/contract/test_migrations.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from fakes.proofs import ROOT, has_code, mirrored, named, proofs, reached

MODULES = sorted(
    path.relative_to(ROOT) for package in ("gateway", "mappings") for path in (ROOT / package).rglob("*.py")
)
# Modules that are rewritten at this moment: their docstrings get the line with that
PROVED_ELSEWHERE = {
    "gateway/ingest/map_study.py": "tests/contract/test_patients.py",
    "gateway/ingest/pipeline.py": "tests/contract/test_pipeline.py",
    "gateway/ingest/plan_write.py": "tests/contract/test_pipeline.py",
    "gateway/runtime/computing.py": "tests/contract/test_any_study.py",
}
PROVED = [path for path in MODULES if proofs(path) and (has_code(path) or named(path))]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_has_tests_of_its_own_or_names_its_proof(path: Path) -> None:
    if not has_code(path) or "migrations" in path.parts or str(path) in PROVED_ELSEWHERE:
        return
    assert proofs(path), (
        f"nothing proves {path}: write {mirrored(path)}, or end the module's docstring with one line "
        "`Proved by tests/<path>.py.` that names a test file (or two, with `and`) that fails when the module is broken"
    )


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_the_line_that_names_a_proof_has_one_form_and_names_files_that_are_there(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8"))) or ""
    assert ("Proved by" in docstring) == bool(named(path)), (
        f"end the docstring of {path} with the line `Proved by tests/<path>.py.` or "
        "`Proved by tests/<path>.py and tests/<path>.py.`"
    )
    gone = [str(proof) for proof in named(path) if not (ROOT / proof).exists()]
    assert gone == [], f"{path} names a proof that is not there: name the file that proves it now"


@pytest.mark.parametrize("path", PROVED, ids=str)
def test_a_proof_drives_its_module(path: Path) -> None:
    idle = [str(proof) for proof in proofs(path) if path not in reached(proof)]
    assert idle == [], f"{idle} never reach {path}: name a test file that fails when {path} is broken"


def test_a_test_that_imports_nothing_of_a_module_does_not_reach_it() -> None:
    assert Path("gateway/feed/deliver/sender.py") not in reached(Path("tests/gateway/index/test_escaping.py"))
    assert Path("gateway/store/database/sqlite.py") in reached(Path("tests/contract/test_leases.py"))
