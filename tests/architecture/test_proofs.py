"""House rule: each module has tests with its own path, or its docstring names the test files that prove it.

Excepted are modules that compute nothing (tables, types, protocols, re-exports), and migrations, which all share
tests/contract/test_migrations.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.proofs import ROOT, documentation, has_code, mirrored, named, proofs, reached

MODULES = sorted(
    path.relative_to(ROOT) for package in ("gateway", "mappings") for path in (ROOT / package).rglob("*.py")
)


def is_excepted(path: Path) -> bool:
    return not has_code(path) or "migrations" in path.parts


def test_a_module_has_tests_of_its_own_or_names_its_proof() -> None:
    unproved = [path for path in MODULES if not is_excepted(path) and not proofs(path)]
    assert [
        f"nothing proves {path}: write {mirrored(path)}, or end the module's docstring with one line "
        "`Proved by tests/<path>.py.` that names a test file (or two, with `and`) that fails when the module is broken"
        for path in unproved
    ] == []


def test_the_line_that_names_a_proof_has_one_form() -> None:
    assert [
        f"end the docstring of {path} with the line `Proved by tests/<path>.py.` or "
        "`Proved by tests/<path>.py and tests/<path>.py.`"
        for path in MODULES
        if ("Proved by" in documentation(path)) != bool(named(path))
    ] == []


def test_a_proof_that_is_named_is_there() -> None:
    assert [
        f"{path} names {proof}, which is not there: name the file that proves it now"
        for path in MODULES
        for proof in named(path)
        if not (ROOT / proof).exists()
    ] == []


@pytest.mark.full
def test_a_proof_drives_its_module() -> None:
    proved = [path for path in MODULES if has_code(path) or named(path)]
    assert [
        f"{proof} never reaches {path}: name a test file that fails when {path} is broken"
        for path in proved
        for proof in proofs(path)
        if (ROOT / proof).exists() and path not in reached(proof)
    ] == []


def test_a_test_that_imports_nothing_of_a_module_does_not_reach_it() -> None:
    assert Path("gateway/feed/deliver/sender.py") not in reached(Path("tests/gateway/index/test_escaping.py"))
    assert Path("gateway/store/database/sqlite.py") in reached(Path("tests/contract/test_leases.py"))
