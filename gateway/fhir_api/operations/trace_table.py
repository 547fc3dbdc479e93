"""The trace of a study as a table: one row per source leaf, with what it moves in FHIR and in HL7 v2.

Carries out no clause of a standard: it is the output of `convert --to trace` (decision D6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mappings.trace import TraceRow

HEAD: Final = ("pointer", "class", "FHIR", "HL7 v2", "rule", "hidden by", "lost because")


def cells(row: TraceRow, pointer: str) -> tuple[str, ...]:
    """The cells of a row, several values parted by a blank; `pointer` is where the leaf stands in the input."""
    several = (row.fhir, row.hl7v2, row.rules, row.hidden_by)
    return (pointer, row.kind, *map(" ".join, several), "; ".join(row.losses))


def table(rows: Iterable[Sequence[str]], *, pretty: bool) -> str:
    """The table: cells parted by tabs, or `pretty` a block a leaf, with what is said of it below."""
    if not pretty:
        return "".join("\t".join(row) + "\n" for row in (HEAD, *rows))
    return "".join(_block(row) for row in rows)


def _block(row: Sequence[str]) -> str:
    pointer, kind, *others = row
    said = [f"    {name}: {text}" for name, text in zip(HEAD[2:], others, strict=True) if text]
    return "\n".join([f"{pointer}  [{kind}]", *said, ""])
