"""Read what a site writes (a TOML table, a CSV file), and note each mistake by its place: all are found at once.

https://toml.io/en/v1.0.0, RFC 4180, 45 CFR 162.406 (NPI), https://loinc.org/kb/users-guide (LOINC code and check
digit), HL7 v2.5.1 §2.A.36 (OID), https://docs.python.org/3/library/re.html#regular-expression-syntax, of which a small
part is allowed; decisions D11, D23. No error text shows a cell, since cells hold names of people. A site's regular
expression that could be slow is refused. `exact` normalizes case and spaces, so that exact matches are found.
Proved by tests/mappings/profile/test_sheet.py and tests/mappings/profile/test_site.py.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from unicodedata import normalize

from mappings.issues import SiteError


def read_toml(text: str, key: str) -> dict[str, Any]:
    """Parse a TOML text.

    Raises:
        SiteError: not TOML; `key` names the text.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        remedy = "Mend the line named; https://toml.io shows the syntax."
        raise SiteError(key, f"not TOML: {error}", remedy) from None


@dataclass(frozen=True, slots=True)
class Table:
    """A TOML table at `place`; `faults` grows."""

    row: Mapping[str, Any]
    place: str
    faults: list[SiteError]

    def refuse(self, key: str, problem: str, remedy: str) -> None:
        """Note a wrong setting."""
        self.faults.append(SiteError(f"{self.place}.{key}", problem, remedy))

    def refuse_unknown(self, allowed: AbstractSet[str]) -> None:
        """Note every unknown key."""
        for key in sorted(self.row.keys() - allowed):
            self.refuse(key, "no such setting", f"Known here: {', '.join(sorted(allowed))}.")

    def text(self, key: str) -> str | None:
        """Read a string; None if it is missing or invalid."""
        value = self.row.get(key)
        if value is None or isinstance(value, str):
            return value
        self.refuse(key, "not a string", "Put it in quotes.")
        return None

    def texts(self, key: str, example: str) -> tuple[str, ...]:
        """Read a list of strings that are not blank, stripped."""
        value = self.row.get(key, [])
        if isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value):
            return tuple(one.strip() for one in value)
        self.refuse(key, "not a list of names", f"Write a list, such as {example}.")
        return ()

    def flag(self, key: str, default: bool = False) -> bool:
        """Read true or false; the default if it is missing or invalid."""
        value = self.row.get(key, default)
        if isinstance(value, bool):
            return value
        self.refuse(key, "neither true nor false", "Write true or false, without quotes.")
        return default

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str | None:
        """Read one of the allowed strings; None if it is missing or invalid."""
        value = self.text(key)
        if value is None or value in allowed:
            return value
        self.refuse(key, "not one of the values it can have", f"Write one of {', '.join(allowed)}.")
        return None

    def tables(self, key: str, remedy: str) -> Iterator[Table]:
        """Yield each table of a list of tables."""
        rows = self.row.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.refuse(key, "not a list of tables", remedy)
            return
        for index, row in enumerate(rows):
            yield Table(row, f"{self.place}.{key}[{index}]", self.faults)


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


@lru_cache(maxsize=1024)
def exact(text: str | None) -> str:
    """Normalize a text: equal results are an exact match; empty for a blank or missing text.

    Case is ignored, outer white space is removed, white space inside becomes one blank, and characters are composed
    (Unicode NFC). Nothing else is changed: no punctuation, abbreviation or word order.
    """
    return normalize("NFC", " ".join(text.lower().split())) if text else ""


_LUHN_DOUBLED: Final = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
_LOINC: Final = re.compile(r"([0-9]{1,7})-([0-9])")
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")


@lru_cache(maxsize=1024)
def is_npi(number: str) -> bool:
    """True for ten ASCII digits, the last the Luhn check digit of `80840` and the first nine (45 CFR 162.406)."""
    if len(number) != 10 or not (number.isascii() and number.isdigit()):
        return False
    digits = number.encode()
    return (24 + sum(digits[::2].translate(_LUHN_DOUBLED)) + sum(digits[1::2]) - 5 * ord("0")) % 10 == 0


def is_loinc(code: str) -> bool:
    """True for up to seven digits, a hyphen and their mod 10 check digit."""
    match = _LOINC.fullmatch(code)
    if match is None:
        return False
    digits = match[1].encode()[::-1]
    doubled, plain = digits[::2].translate(_LUHN_DOUBLED), digits[1::2]
    return (sum(doubled) + sum(plain) - len(plain) * ord("0") + int(match[2])) % 10 == 0


def is_oid(text: str) -> bool:
    """True for an OID in dots and digits (HL7 v2.5.1 §2.A.36, ISO)."""
    return text[:1].isdigit() and _OID.fullmatch(text) is not None


# Allowed pieces: a character, a class, a group's end or beginning, an alternative, a quantifier
_PIECE: Final = re.compile(
    r"(?P<often>[?*+]|\{[0-9]+(?:,[0-9]*)?\})|(?P<close>\))|(?P<branch>\|)|(?P<open>\((?:\?:)?)"
    r"|\\[dDwW]|\\[^A-Za-z0-9]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\](){}|?*+^$]"
)
_FIXED: Final = re.compile(r"\{([0-9]+)(?:,\1)?\}")
_MOST_CHOICES: Final = 4
_REMEDY: Final = (
    "Write characters, classes such as [A-Z] or \\d, and how often, such as \\d{7} or MRN-?\\d+; of parts that may be"
    " longer or shorter, optional or alternative, four at most, and no repeated groups. The whole number must match."
)


def read_pattern(table: Table, key: str) -> re.Pattern[str] | None:
    """Read the expression of a setting; one that could be slow on any number is refused."""
    text = table.text(key)
    if text is None:
        return None
    problem = _problem(text)
    if problem:
        table.refuse(key, problem, _REMEDY)
        return None
    return re.compile(text, re.ASCII)


def _problem(text: str) -> str:
    """Name the fault of an expression; empty without one.

    With few choices and no repeated group, 32 characters match in some ten thousand ways at most.
    """
    place, before, choices = 0, "", 0
    while place < len(text):
        piece = _PIECE.match(text, place)
        if piece is None:
            return "has something that is not allowed, such as ^ or $: the whole number must match anyway"
        kind = piece.lastgroup or ""
        if kind == "often" and (before in ("open", "often") or (before == "close" and piece[0] != "?")):
            return "repeats a group, or has a repeat sign (* + ? {}) with nothing in front of it"
        choices += kind == "branch" or (kind == "often" and not _FIXED.fullmatch(piece[0]))
        place, before = piece.end(), kind
    if choices > _MOST_CHOICES:
        return "has more than four choices"
    try:
        re.compile(text)
    except (re.error, OverflowError):
        return "not a regular expression"
    return "" if text else "empty"
