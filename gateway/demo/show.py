"""Format a demo report's AutoScribe JSON, FHIR and HL7 v2 as columns side by side, for a terminal.

Carries out no clause of a standard: the output is for a person's screen, never for a log.
Proved by tests/gateway/cli/test_main.py.
"""

from __future__ import annotations

import json
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from gateway.demo.agreement import AgreementRow

_GAP: Final = " │ "


def side_by_side(columns: Sequence[tuple[str, str]], width: int) -> str:
    """Format texts as wrapped columns of equal width under their titles; `width` is that of the terminal."""
    each = (width - len(_GAP) * (len(columns) - 1)) // len(columns)
    wrapped = [[title, "─" * each, *_wrap(text, each)] for title, text in columns]
    return "\n".join(
        _GAP.join(_pad(cell, each) for cell in row).rstrip() for row in zip_longest(*wrapped, fillvalue="")
    )


def pretty(document: Mapping[str, Any]) -> str:
    """Format JSON with an indent of one, with long values cut to a line."""
    return json.dumps(_shortened(document), indent=1, ensure_ascii=False)


def comparison(rows: Sequence[AgreementRow], width: int) -> str:
    """Format the comparison as a table, with `=` or `≠` at the end of each row."""
    widths = [14, *[(width - 14 - 5) // 3 - len(_GAP)] * 3]
    head = ["", "AutoScribe", "FHIR", "ORU^R01"]
    lines = [_GAP.join(_pad(cell, size) for cell, size in zip(head, widths, strict=True))]
    for row in rows:
        cells = [row.what, row.autoscribe, row.fhir, row.oru]
        text = _GAP.join(_pad(_cut(cell, size), size) for cell, size in zip(cells, widths, strict=True))
        lines.append(f"{text} {'=' if row.agrees else '≠'}")
    return "\n".join(lines)


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    return _cut(value, 160) if isinstance(value, str) else value


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for line in text.splitlines():
        lines += textwrap.wrap(
            line, width, subsequent_indent="  ", replace_whitespace=False, drop_whitespace=False
        ) or [""]
    return lines


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pad(text: str, width: int) -> str:
    return text + " " * max(width - _width(text), 0)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
