r"""Arrange a report's lines as OBX-5 values: one OBX for each line, section or report, with its OBX-2 and OBX-3.

HL7 v2.5.1 §2.A.79 (TX: repetitions are consecutive lines), §2.A.34 and §2.7.6 (FT: `\.br\`), §2.A.75 (ST), decisions
D5, D34.

| switch | one OBX is | read back |
|---|---|---|
| `text = tx_lines`, `st_lines` | a line | the lines are N(text) |
| `text = tx_sections` | a section, a repetition of TX for each line | the repetitions are N(text) |
| `text = tx_repeat` | a report, a repetition of TX for each line | the repetitions are N(text) |
| `text = ft` | a report, `\.br\` between lines | N(text) |
| `obx3_style` other than `loinc` | with `ft` and `tx_repeat`: the lines of a report with one OBX-3 | as above |
| `blank_line = space` | | a line of exactly one blank is an empty line, except in `ft` |
| `blank_line = empty` | | nothing is lost |
| `blank_line = omit` | | empty lines are lost: `blank-lines-omitted` gives their number |
| `wrap = 75`, `80` | | the lines are shorter; joined again they are the lines of N(text) |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby
from typing import Final
from unicodedata import category

from mappings.codes import CHARSETS, DIAGNOSTIC_IMAGING_STUDY, SECTION_LOINC
from mappings.hl7v2.charset import spelled
from mappings.hl7v2.er7 import LINE_BREAK, NOT_NULL, NULL, REPETITION, components, subcomponents
from mappings.hl7v2.report_text import Stretch
from mappings.profile import Receiver

_TOKEN: Final = re.compile(r"\\[EFSRT]\\|.", re.DOTALL)
_JOINER: Final = "\u200d"
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)


def wrapped(row: str, width: int, codec: str) -> list[str]:
    """Wrap an escaped line to at most `width` characters, counted before escaping and in the codec's spelling.

    A line ends after a blank if it has one, else between any two graphemes; joined again, the lines are the row. A
    grapheme of more than `width` characters gets a line of its own.
    """
    if len(row) <= width and (row.isascii() or codec == "utf-8"):
        return [row]
    written: list[str] = []
    line: list[str] = []
    sizes: list[int] = []
    total = 0
    for grapheme in _graphemes(row):
        size = len(_TOKEN.findall(spelled(grapheme, codec)[0]))
        while line and total + size > width:
            end = _end(line)
            written.append("".join(line[:end]))
            total -= sum(sizes[:end])
            del line[:end], sizes[:end]
        line.append(grapheme)
        sizes.append(size)
        total += size
    return [one if one != NULL else NOT_NULL for one in (*written, "".join(line))]


def _end(line: list[str]) -> int:
    """Index of the end of a full line: after its last blank that follows other text, else its length."""
    blanks = [number for number, grapheme in enumerate(line) if grapheme == " "]
    if blanks and "".join(line[: blanks[-1]]).strip():
        return blanks[-1] + 1
    return len(line)


def _graphemes(row: str) -> list[str]:
    """Split the row into graphemes that a reader sees as one: escape sequences, letters with marks, joined emoji."""
    graphemes: list[str] = []
    for token in _TOKEN.findall(row):
        if graphemes and (_continues(token) or graphemes[-1][-1] == _JOINER):
            graphemes[-1] += token
        else:
            graphemes.append(token)
    return graphemes


def _continues(token: str) -> bool:
    """True for a token that changes the character before it: combining marks, joiners, variation selectors."""
    if token.isascii():
        return False
    return token == _JOINER or category(token) in ("Mn", "Mc", "Me") or ord(token) in _SKIN_TONES


_REPORT_CODE, _REPORT_TEXT = DIAGNOSTIC_IMAGING_STUDY
_IMPRESSION_CODE, _IMPRESSION_TEXT = SECTION_LOINC["impression"]
_ADDENDUM_CODE, _ADDENDUM_TEXT = SECTION_LOINC["addendum"]
# Switch `obx3_style` -> section label -> OBX-3; every other line belongs to the report as a whole. The suffixes of
# `gdt_imp` are those of HL7 v2.5.1 §7.1.3
OBX_3: Final[dict[str, dict[str, str]]] = {
    "loinc": {
        "": components(*DIAGNOSTIC_IMAGING_STUDY, "LN"),
        "findings": components(*SECTION_LOINC["findings"], "LN"),
        "impression": components(*SECTION_LOINC["impression"], "LN"),
        "addendum": components(*SECTION_LOINC["addendum"], "LN"),
    },
    "gdt_imp": {
        "": components(subcomponents(_REPORT_CODE, "GDT"), _REPORT_TEXT, "LN"),
        "impression": components(subcomponents(_IMPRESSION_CODE, "IMP"), _IMPRESSION_TEXT, "LN"),
        "addendum": components(subcomponents(_ADDENDUM_CODE, "ADT"), _ADDENDUM_TEXT, "LN"),
    },
    "va": {"": "R^REPORT^L", "impression": "I^IMPRESSION^L"},
    "va_suffix": {
        "": components(subcomponents(_REPORT_CODE, "R"), _REPORT_TEXT, "LN"),
        "impression": components(subcomponents(_IMPRESSION_CODE, "I"), _IMPRESSION_TEXT, "LN"),
    },
    "va_report": {"": "R^REPORT^L"},
}
# Switch `blank_line` -> text of an empty line
BLANK: Final[dict[str, str]] = {"space": " ", "empty": "", "omit": ""}
_OBX_2: Final[dict[str, str]] = {"ft": "FT", "st_lines": "ST"}
_LINES: Final = frozenset({"tx_lines", "st_lines"})


def obx_2_value_type(receiver: Receiver) -> str:
    """OBX-2 Value Type <- the receiver's `text`, table 0125: TX, FT or ST.

    HL7 v2.5.1 §7.4.2.2.
    """
    return _OBX_2.get(receiver.text, "TX")


def obx_3_observation_identifier(label: str, style: str) -> str:
    """OBX-3 Observation Identifier <- the section in which the line begins, in the receiver's `obx3_style`.

    HL7 v2.5.1 §7.4.2.3.
    """
    codes = OBX_3[style]
    return codes.get(label) or codes[""]


def obx_5_observation_values(texts: list[Stretch], receiver: Receiver) -> list[Stretch]:
    """OBX-5 Observation Value <- report.reportPlainText: the lines in the form of the receiver's `text` and `wrap`.

    HL7 v2.5.1 §7.4.2.5. Each line of the returned stretches is the value of one OBX; an empty one stays empty.
    """
    if receiver.wrap != "none":
        texts = [Stretch(one.label, one.is_critical, _wrapped(one.lines, receiver)) for one in texts]
    if receiver.text in _LINES:
        return texts
    return [_joined(list(together), receiver) for _, together in groupby(texts, _scope(receiver))]


def without_blank_lines(texts: list[Stretch]) -> tuple[list[Stretch], int]:
    """Drop the blank lines; return the others and the number dropped."""
    kept = [Stretch(one.label, one.is_critical, [row for row in one.lines if row.strip()]) for one in texts]
    omitted = sum(len(one.lines) for one in texts) - sum(len(one.lines) for one in kept)
    return [one for one in kept if one.lines], omitted


def _wrapped(rows: list[str], receiver: Receiver) -> list[str]:
    width, codec = int(receiver.wrap), CHARSETS[receiver.charset]
    return [line for row in rows for line in wrapped(row, width, codec)]


def _scope(receiver: Receiver) -> Callable[[Stretch], str]:
    """Grouping key: consecutive stretches with one key share an OBX."""
    if receiver.text == "tx_sections":
        return lambda stretch: stretch.label
    if receiver.obx3_style == "loinc":
        return lambda stretch: ""
    return lambda stretch: obx_3_observation_identifier(stretch.label, receiver.obx3_style)


def _joined(together: list[Stretch], receiver: Receiver) -> Stretch:
    """Join stretches into one with a single value; under several LOINC codes it belongs to the report as a whole."""
    rows = [row for one in together for row in one.lines]
    labels = {obx_3_observation_identifier(one.label, receiver.obx3_style): one.label for one in together}
    label = next(iter(labels.values())) if len(labels) == 1 else ""
    is_critical = any(one.is_critical and any(one.lines) for one in together)
    if receiver.text == "ft":
        return Stretch(label, is_critical, [LINE_BREAK.join(rows)])
    blank = BLANK[receiver.blank_line]
    return Stretch(label, is_critical, [REPETITION.join(row or blank for row in rows)])
