r"""Common form for the content that parsers read from a message, and the parts that the tests compare.

HL7 v2.5.1 §2.5 (delimiters), §2.7.1 (escape sequences). A reading is a list of `[segment, {field number: field}]`; a
field is a list of repetitions, each a list of components, each a list of sub-components, as `read` makes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Field = list[list[list[str]]]
Reading = list[tuple[str, dict[str, Field]]]
Summary = dict[str, Any]

WANTED = {"MSH": [9], "PID": [3, 5], "OBR": [3, 25], "OBX": [2, 3, 5]}
TEXT_TYPES = ("TX", "ST", "FT")
STUDY_UID = "113014"
_SEQUENCE = re.compile(r"\\([FSTRE]|\.br)\\")
_MEANING = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\", ".br": "\n"}


def unescape(text: str) -> str:
    r"""The text that an escaped value stands for; `\.br\` is a line break. Our messages hold no other sequence."""
    return _SEQUENCE.sub(lambda found: _MEANING[found.group(1)], text)


def read(message: str) -> Reading:
    """The reading that every parser should give: split, then unescaped."""
    rows: Reading = []
    for line in message.split("\r"):
        name, *fields = line.split("|")
        if name in WANTED:
            first = 2 if name == "MSH" else 1
            rows.append((name, {str(n): _split(fields[n - first]) for n in WANTED[name] if n - first < len(fields)}))
    return each_leaf(rows, unescape)


def _split(field: str) -> Field:
    return [[part.split("&") for part in one.split("^")] for one in field.split("~")]


def each_leaf(reading: Reading, change: Callable[[str], str]) -> Reading:
    """The reading with each leaf changed."""
    return [
        (name, {n: [[[change(leaf) for leaf in c] for c in r] for r in field] for n, field in fields.items()})
        for name, fields in reading
    ]


def summary(reading: Reading) -> Summary:
    """MSH-9, PID-3 (each repetition), PID-5, and of each OBR its OBR-3, OBR-25 and the lines of text below it."""
    first = dict(reversed([(name, fields) for name, fields in reading]))
    found: Summary = {f"{name}-{n}": _tidy(first[name].get(str(n))) for name, n in (("MSH", 9), ("PID", 3), ("PID", 5))}
    found["orders"] = []
    for name, fields in reading:
        if name == "OBR":
            found["orders"].append({"OBR-3": _tidy(fields.get("3")), "OBR-25": _tidy(fields.get("25")), "text": []})
        elif name == "OBX":
            found["orders"][-1]["text"] += text_lines(fields)
    return found


def text_lines(obx: dict[str, Field]) -> list[str]:
    r"""The report's lines that one OBX carries: a repetition or `\.br\` ends a line, a line of one blank is empty.

    So for every switch `text` of a receiver profile; what is no TX, ST or FT, or is the study's UID, is no report text.
    """
    kind, code = _first(obx.get("2")), _first(obx.get("3"))
    if kind not in TEXT_TYPES or code == STUDY_UID:
        return []
    repetitions = ["^".join("&".join(component) for component in one) for one in obx.get("5") or [[[""]]]]
    lines = [line for one in repetitions for line in one.split("\n")]
    return ["" if line == " " else line for line in lines]


def _first(field: Field | None) -> str:
    return field[0][0][0] if field and field[0] and field[0][0] else ""


def _tidy(field: Field | None) -> Field:
    """The field without what is empty at the end of components, sub-components and repetitions."""
    repetitions = [_trimmed([_trimmed(component, "") for component in one], []) for one in field or []]
    return _trimmed(repetitions, [])


def _trimmed(parts: list[Any], empty: Any) -> list[Any]:
    kept = list(parts)
    while kept and kept[-1] == empty:
        kept.pop()
    return kept
