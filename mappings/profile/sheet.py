"""Read a site's CSV file, and note each mistake by line and column, so that all mistakes are found at once.

RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180). No error text shows a cell, since cells hold names of people.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mappings.issues import SiteError

_OTHER_DELIMITERS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row: `line` is its first line, 1 at the start of the file; `faults` grows."""

    cells: Mapping[str, str]
    line: int
    sheet: str
    faults: list[SiteError]

    def text(self, column: str) -> str:
        """Return the content of the cell, stripped; empty if the file has no such column."""
        return self.cells.get(column, "").strip()

    def refuse(self, column: str, problem: str, remedy: str) -> None:
        """Note a wrong cell."""
        self.faults.append(SiteError(f"{self.sheet}, line {self.line}, column {column}", problem, remedy))


def read_rows(
    text: str, sheet: str, columns: tuple[str, ...], required: tuple[str, ...], faults: list[SiteError]
) -> Iterator[SheetRow]:
    """Yield each row of a CSV text under its heading; `sheet` is the setting that names the file.

    The heading names the columns in any order; blank lines and a byte order mark at the start are skipped.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    heading: tuple[str, ...] | None = None
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if heading is None:
                    heading = _heading(cells, f"{sheet}, line {line}", columns, required, faults)
                    if heading is None:
                        return
                elif row := _row(cells, heading, line, sheet, faults):
                    yield row
            line = reader.line_num + 1
    except csv.Error:
        place = f"{sheet}, line {line}"
        problem = "not CSV: a quote that is not closed or stands inside a cell, or a cell of more than 128 kB"
        faults.append(SiteError(place, problem, 'Quote a cell with a comma, and write a quote in it twice: "".'))
        return
    if heading is None:
        faults.append(SiteError(f"{sheet}, line 1", "the file is empty", f"Begin it with {','.join(columns)}."))


def _heading(
    cells: list[str], place: str, columns: tuple[str, ...], required: tuple[str, ...], faults: list[SiteError]
) -> tuple[str, ...] | None:
    """Read the names of the columns; None if no rows can be read under them."""
    names = tuple(cell.strip().lower() for cell in cells)
    known = f"The columns are {','.join(columns)}."
    for delimiter, name in _OTHER_DELIMITERS.items():
        if len(cells) == 1 and delimiter in cells[0]:
            remedy = "Save the file as CSV with commas."
            faults.append(SiteError(place, f"the columns are separated by {name}, not by commas", remedy))
            return None
    heading_faults = [
        SiteError(place, f"the column {column} is missing", f"Name it in the first line. {known}")
        for column in required
        if column not in names
    ]
    for index, name in enumerate(names):
        if name not in columns:
            remedy = f"Take it out, or mend its name. {known}"
            heading_faults.append(SiteError(place, f"column {index + 1} has a name that is not known", remedy))
        elif name in names[:index]:
            heading_faults.append(SiteError(place, f"the column {name} is there twice", "Keep one of them."))
    faults.extend(heading_faults)
    return None if heading_faults else names


def _row(cells: list[str], heading: tuple[str, ...], line: int, sheet: str, faults: list[SiteError]) -> SheetRow | None:
    if len(cells) != len(heading):
        problem = f"{len(cells)} cells under {len(heading)} columns"
        remedy = "Write one cell for each column; quote a cell that holds a comma."
        faults.append(SiteError(f"{sheet}, line {line}", problem, remedy))
        return None
    return SheetRow(dict(zip(heading, cells, strict=True)), line, sheet, faults)
