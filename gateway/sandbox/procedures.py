"""Radiology procedures for the sandbox's synthetic reports, with report texts, read from `procedures.toml`.

Carries out no clause of a standard: AutoScribe's procedure is free text without a code, and so is its report.
Proved by tests/gateway/sandbox/test_seed.py.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class ReportCase:
    """One possible result of a procedure; `texts.write` fills in `{n}`, `{side}` and `{level}`."""

    findings: tuple[str, ...]
    impression: tuple[str, ...]
    critical: bool = False
    recommendation: str = ""


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure, named as AutoScribe does (free text), with the texts of its reports."""

    modality: str
    description: str
    procedure: str
    technique: str
    indications: tuple[str, ...]
    cases: tuple[ReportCase, ...]
    patient_sex: str | None = None


def _read() -> tuple[Procedure, ...]:
    tables = tomllib.loads((resources.files(__package__) / "procedures.toml").read_text("utf-8"))["procedure"]
    return tuple(_procedure(table) for table in tables)


def _procedure(table: dict[str, Any]) -> Procedure:
    cases = tuple(ReportCase(**_listed(case)) for case in table["cases"])
    return Procedure(**{**_listed(table), "cases": cases})


def _listed(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


PROCEDURES: Final = _read()
