"""Trace one report of a stored study, and print the trace as a text table; loads no web server.

Carries out no clause of a standard; decisions D6 and D46. A worker process traces for `$trace`; the table is also the
output of `convert --to trace`.
Proved by tests/gateway/fhir_api/operations/test_trace_table.py and tests/gateway/fhir_api/operations/test_trace.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Final

from gateway.store.stored_reports import StoredStudy
from mappings.profile import Receiver, Site
from mappings.trace import TraceRow, trace


def trace_rows(
    stored: StoredStudy, document: dict[str, Any], own: AbstractSet[str], site: Site, receiver: Receiver
) -> Sequence[TraceRow]:
    """Trace the JSON values of the study itself and of a report's `own` places (`reports/0`)."""
    return trace(document, site, receiver, stored.kept().facts, is_wanted=partial(is_of, own))


def is_of(own: AbstractSet[str], pointer: str) -> bool:
    """True for a pointer into one of these places, or into the study itself."""
    first, second = (*pointer.split("/"), "", "")[1:3]
    return first not in {"reports", "users"} or not second or f"{first}/{second}" in own


HEAD: Final = ("pointer", "class", "FHIR", "HL7 v2", "rule", "hidden by", "lost because")


def cells(row: TraceRow, pointer: str) -> tuple[str, ...]:
    """Return the cells of a row, several values separated by a space; `pointer` names the field in the input."""
    several = (row.fhir, row.hl7v2, row.rules, row.hidden_by)
    return (pointer, row.kind, *map(" ".join, several), "; ".join(row.losses))


def table(rows: Iterable[Sequence[str]], *, pretty: bool) -> str:
    """Render the table: one line of tab-separated cells per field, or a block of lines per field if `pretty`."""
    if not pretty:
        return "".join("\t".join(row) + "\n" for row in (HEAD, *rows))
    return "".join(_block(row) for row in rows)


def _block(row: Sequence[str]) -> str:
    pointer, kind, *others = row
    lines = [f"    {name}: {text}" for name, text in zip(HEAD[2:], others, strict=True) if text]
    return "\n".join([f"{pointer}  [{kind}]", *lines, ""])
