"""Own codes (https://hl7.org/fhir/R4/codesystem.html): every code that the gateway gives is defined, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.fhir_api.definitions.own_codes import ANSWER_CODES, COMMANDS, MAPPING_CODES, error_codes
from gateway.fhir_api.served import OPERATIONS
from gateway.runtime.request_errors import NotSupported

ROOT = Path(__file__).parents[4]
# Made of parts: `{accession,placer,exam}-missing`, and `rule-` with the name of a rule
MADE = {"accession-missing", "exam-missing", "placer-missing"}
GIVERS = ("warn", "inform", "MappingIssue")


def trees(*folders: str) -> Iterator[ast.AST]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield ast.parse(path.read_text())


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""), node


def texts(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


@pytest.mark.full
def test_every_code_of_a_mapping_issue_is_defined_and_every_one_defined_is_given() -> None:
    given, every = set(), set()
    for tree in trees("mappings", "gateway/ingest", "gateway/upstream"):
        every |= texts(tree)
        given |= {
            node.args[0].value
            for name, node in calls(tree)
            if name in GIVERS and node.args and isinstance(node.args[0], ast.Constant)
        }
    assert given - MAPPING_CODES.keys() == set()
    assert {one for one in every if re.fullmatch(r"(fhir|us-core)-[a-z0-9-]+", one)} - {"us-core-"} <= {
        *MAPPING_CODES,
        *(one for one in every if one.startswith("us-core-us-core")),
    } | NOT_CODES
    assert MAPPING_CODES.keys() - every == MADE


NOT_CODES = {"fhir-base"}


def test_every_code_of_an_answer_is_defined_and_every_one_defined_is_given() -> None:
    given = {
        node.args[3].value
        for tree in trees("gateway/fhir_api")
        for name, node in calls(tree)
        if name == "Issue" and len(node.args) > 3 and isinstance(node.args[3], ast.Constant)
    }
    assert given == ANSWER_CODES.keys()
    assert error_codes()["not-supported"] == (NotSupported.__doc__ or "").partition("\n")[0]
    assert all(meaning.endswith(".") for meaning in (*error_codes().values(), *MAPPING_CODES.values()))


def test_every_command_that_the_audit_notes_is_defined() -> None:
    noted = {
        node.args[1].value
        for tree in trees("gateway/cli")
        for name, node in calls(tree)
        if name in ("_act", "_act_on_store") and len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
    }
    decided = {f"identity {verdict}" for verdict in ("link", "separate")}
    assert noted | decided == set(COMMANDS)
    assert OPERATIONS
