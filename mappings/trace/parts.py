"""Cut resources and messages into pieces, and read the values of each FHIR element and HL7 v2 field in a piece.

Carries out no clause of a standard; elements are named as in FHIR R4 (`Patient.name.family`), fields as in HL7 v2
(`PID-5`). A piece is an element of a resource with all within it, or the segments of one kind in a message: no value
has its target in two pieces, so a piece that is as it was need not be read again.
Proved by tests/mappings/trace/test_trace.py.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby, zip_longest
from typing import Any, Final

from mappings.hl7v2.received import Delimiters, read

Json = Mapping[str, Any]
Targets = Mapping[str, frozenset[Any]]
Piece = list[Any]
_URL_END: Final = re.compile("[:/]")
_SEPARATOR: Final = re.compile(r"[\^&]")
_UNSAID: Final = frozenset({"text", "meta", "resourceType"})
# Fields that count or name the message: they differ with any change
_COUNTED: Final = frozenset({"MSH-1", "MSH-2", "MSH-7", "MSH-10", "OBX-1", "OBX-4", "NTE-1"})


@dataclass(frozen=True, slots=True)
class Part:
    """A resource or a message (`made`), its pieces by name, and the targets of each with their values."""

    made: Json | bytes
    pieces: Mapping[str, Piece]
    targets: Mapping[str, Targets]


def part_of(made: Json | bytes, named: Mapping[str, str], like: Part | None) -> Part:
    """Read a part; references are by the names of what they lead to. Pieces that are the same in `like` are not read.

    `like` has the same delimiters, and its references are by the same names.
    """
    if isinstance(made, bytes):
        delimiters = read(made.partition(b"\r")[0]).delimiters
        pieces, targets_of = _segments(made, delimiters.separator), partial(_fields, delimiters)
    else:
        pieces, targets_of = _elements_of(made), partial(_values, made["resourceType"], named)
    targets = {
        name: like.targets[name] if like is not None and like.pieces.get(name) == piece else targets_of(name, piece)
        for name, piece in pieces.items()
    }
    return Part(made, pieces, targets)


def elements(node: Any, path: str) -> list[tuple[str, Any]]:
    """List the scalars of a resource with their element paths; an extension is named by the end of its URL."""
    found: list[tuple[str, Any]] = []
    _add_elements(node, path, found)
    return found


def _add_elements(node: Any, path: str, found: list[tuple[str, Any]]) -> None:
    if isinstance(node, str):
        found.append((path, b64decode(node).decode("utf-8", "replace") if path.endswith(".data") else node))
    elif isinstance(node, Mapping):
        is_extension = path.endswith(")")
        for key, value in node.items():
            if key != "url" or not is_extension:
                _add_elements(value, f"{path}.{key.removeprefix('_')}", found)
    elif isinstance(node, list):
        is_extension = path.endswith(".extension")
        for item in node:
            _add_elements(item, f"{path}({_URL_END.split(item['url'])[-1]})" if is_extension else path, found)
    else:
        found.append((path, node))


def _elements_of(resource: Json) -> dict[str, Piece]:
    pieces: dict[str, Piece] = {}
    for key, value in resource.items():
        if key not in _UNSAID:
            pieces.setdefault(key.removeprefix("_"), []).append(value)
    return pieces


def _values(kind: str, named: Mapping[str, str], element: str, piece: Piece) -> Targets:
    targets: dict[str, set[Any]] = {}
    for node in piece:
        for path, value in elements(node, f"{kind}.{element}"):
            targets.setdefault(path, set()).add(named.get(value, value) if path.endswith(".reference") else value)
    return {path: frozenset(values) for path, values in targets.items()}


def _segments(message: bytes, separator: str) -> dict[str, Piece]:
    """Group the segments by name, not yet cut into fields; an OBX outside the report text is named by its OBX-3."""
    pieces: dict[str, Piece] = {}
    for segment in filter(None, message.decode("utf-8", "surrogateescape").split("\r")):
        name, _, value_type, observed, *_ = *segment.split(separator, 4), "", "", ""
        pieces.setdefault(kind_of_obx(value_type, observed) if name == "OBX" else name, []).append(segment)
    return pieces


def _fields(delimiters: Delimiters, name: str, piece: Piece) -> Targets:
    """Read the fields of the segments of one kind.

    Beside its values, a field has their sequence over the segments without consecutive repeats. So a field that becomes
    empty in one segment, while others keep it, is a difference too.
    """
    targets: dict[str, frozenset[Any]] = {}
    segments = [segment.split(delimiters.separator) for segment in piece]
    if name == "MSH":
        segments = [[name, delimiters.separator, *fields] for _, *fields in segments]
    for number, texts in enumerate(zip_longest(*segments, fillvalue="")):
        target = f"{name}-{number}"
        if number == 0 or f"{name.split('(', maxsplit=1)[0]}-{number}" in _COUNTED or not any(texts):
            continue
        if target == "OBX-5":
            targets[target] = frozenset({"\n".join(filter(None, texts))})
            continue
        values: set[Any] = {tuple([text for text, _ in groupby(texts)])}
        for text in filter(None, set(texts)):
            parts = _SEPARATOR.split(text.replace(delimiters.repetition, "^"))
            values.update((text, *(delimiters.unescape(part) for part in parts if part)))
        targets[target] = frozenset(values)
    return targets


def kind_of_obx(value_type: str, observed: str) -> str:
    """Name an OBX by its OBX-2 and OBX-3, as in a trace: `OBX` for a line of the report, else with its OBX-3 code."""
    if value_type in ("TX", "FT"):
        return "OBX"
    return "OBX(PDF)" if value_type in ("ED", "RP") else f"OBX({observed.split('^', 1)[0]})"
