"""What a mapping could not do as asked, said instead of guessed.

Carries out no clause of a standard; the shape follows OperationOutcome.issue (https://hl7.org/fhir/R4/operationoutcome.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "information"]


@dataclass(frozen=True, slots=True)
class MappingIssue:
    """One thing that could not be mapped as it came, and what was done about it.

    `code` is stable and kebab-case; `pointer` is an RFC 6901 JSON pointer into the study document (the Study JSON with
    its `reports` and `users` arrays); `action` says what was done. No field ever holds a value of the source.
    """

    code: str
    severity: Severity
    pointer: str
    action: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.pointer or '/'}: {self.code}: {self.action}"


class WireError(ValueError):
    """The input is not what the upstream contract allows: `pointer` names the place, `expected` the cure.

    The text never holds the value that was found, only its kind.
    """

    def __init__(self, pointer: str, expected: str, found: str = "") -> None:
        self.pointer = pointer
        self.expected = expected
        self.found = found
        super().__init__(f"{pointer or '/'}: expected {expected}" + (f", found {found}" if found else ""))


class SiteError(ValueError):
    """A site setting is wrong: `key` names it, `problem` says what is wrong and `remedy` what to write instead."""

    def __init__(self, key: str, problem: str, remedy: str) -> None:
        self.key = key
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{key}: {problem}. {remedy}")
