"""Format the trace of a study as a text table: each AutoScribe field with its places in FHIR and in HL7 v2.

Carries out no clause of a standard: it is the output of `convert --to trace` (decision D6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mappings.trace import TraceRow

HEAD: Final = ("pointer", "class", "FHIR", "HL7 v2", "rule", "hidden by", "lost because")


def cells(row: TraceRow, pointer: str) -> tuple[str, ...]:
    """Return the cells of a row, several values separated by a space; `pointer` locates the field in the input."""
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
