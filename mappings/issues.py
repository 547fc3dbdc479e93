"""Classes for mapping issues (values that could not be mapped unchanged), and for errors in input and settings.

Carries out no clause of a standard; the shape follows OperationOutcome.issue (https://hl7.org/fhir/R4/operationoutcome.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "information"]


@dataclass(frozen=True, slots=True)
class MappingIssue:
    """One value that could not be mapped unchanged, and the action taken.

    `code` is stable and kebab-case. `pointer` is an RFC 6901 JSON pointer into the study document (the Study JSON with
    its `reports` and `users` arrays). `action` is the action taken. No field ever holds a value of the source.
    """

    code: str
    severity: Severity
    pointer: str
    action: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.pointer or '/'}: {self.code}: {self.action}"


class WireError(ValueError):
    """Input that violates the upstream contract: `pointer` names the place, `expected` the cure.

    The text never holds the offending value, only its kind.
    """

    def __init__(self, pointer: str, expected: str, found: str = "") -> None:
        self.pointer = pointer
        self.expected = expected
        self.found = found
        super().__init__(f"{pointer or '/'}: expected {expected}" + (f", found {found}" if found else ""))


class SiteError(ValueError):
    """A wrong site setting: `key` names it, `problem` says why it is wrong and `remedy` how to fix it."""

    def __init__(self, key: str, problem: str, remedy: str) -> None:
        self.key = key
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{key}: {problem}. {remedy}")
