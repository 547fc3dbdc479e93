"""Map a study for the trace, and list the values of each FHIR element and HL7 v2 field in the output.

Carries out no clause of a standard; elements are named as in FHIR R4 (`Patient.name.family`), fields as in HL7 v2
(`PID-5`).
Proved by tests/mappings/trace/test_trace.py.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from mappings.fhir import to_fhir
from mappings.hl7v2.messages import renderings_of_all
from mappings.hl7v2.oru_r01 import oru_of
from mappings.hl7v2.place import AskedMessage
from mappings.hl7v2.received import Segment, read
from mappings.issues import MappingIssue
from mappings.life.changes import changes
from mappings.model import Facts, Study
from mappings.profile import Receiver, Site
from mappings.study.autoscribe import decode
from mappings.values.text import normal_form

Json = Mapping[str, Any]
Targets = Mapping[str, frozenset[Any]]
MESSAGE: Final = "ORU^R01"
_AT: Final = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
_HEX: Final = re.compile(r"[0-9a-f]{32}")
_UNSAID: Final = frozenset({"text", "meta", "resourceType"})
# Fields that count or name the message: they differ with any change
_COUNTED: Final = frozenset({"MSH-1", "MSH-2", "MSH-7", "MSH-10", "OBX-1", "OBX-4", "NTE-1"})


@dataclass(frozen=True, slots=True)
class Outputs:
    """Parts (a resource, a message) by names that do not depend on ids, each with its targets and their values.

    `made` has what a part was read from, `named` the name of each resource by its address: with them the parts of
    another mapping that are the same need not be read again.
    """

    parts: Mapping[str, Targets]
    issues: tuple[MappingIssue, ...]
    study: Study = field(repr=False)
    made: Mapping[str, Json | bytes] = field(repr=False)
    named: Mapping[str, str] = field(repr=False)

    def types(self) -> frozenset[str]:
        """Names of the resource types."""
        return frozenset(kind for kind in map(_kind, self.parts) if kind != MESSAGE)

    def fhir_targets(self) -> Iterator[str]:
        """Yield every FHIR element that has a value."""
        return (target for part, targets in self.parts.items() if _kind(part) != MESSAGE for target in targets)

    def hl7v2_targets(self) -> Iterator[str]:
        """Yield every HL7 v2 field that has a value."""
        return (target for part, targets in self.parts.items() if _kind(part) == MESSAGE for target in targets)

    def differences(self, other: Outputs) -> Iterator[str]:
        """Yield the targets whose values differ; for a part in only one of the two, the name of its kind."""
        for part in self.parts.keys() ^ other.parts.keys():
            yield _kind(part)
        for part in self.parts.keys() & other.parts.keys():
            mine, theirs = self.parts[part], other.parts[part]
            if mine is theirs:
                continue
            yield from (target for target in mine.keys() | theirs.keys() if mine.get(target) != theirs.get(target))

    def holds(self, value: Any, targets: AbstractSet[str]) -> bool:
        """True if one of these targets has the value unchanged."""
        normal = normal_form(value).strip() if isinstance(value, str) else value
        wanted = {normal, str(normal)} if not isinstance(normal, bool) else {normal}
        return any(
            wanted & values for part in self.parts.values() for target, values in part.items() if target in targets
        )


def outputs(document: Json, site: Site, receiver: Receiver, facts: Facts, like: Outputs | None = None) -> Outputs:
    """Map a study document into both languages. What is the same in `like`, of the same settings, is taken from there.

    Raises:
        WireError: the document violates the upstream contract.
    """
    head = {key: value for key, value in document.items() if key not in ("reports", "users")}
    reports, users = document.get("reports", ()), document.get("users", ())
    is_study = "studyReportStatus" in head or "reportMetadata" in head
    study = decode(head if is_study else None, reports, users)
    if like is not None and like.study == study:
        return like
    mapped = to_fhir(study, site, facts)
    named = _names(mapped.output)
    made: dict[str, Json | bytes] = {named[_address(one)]: one for one in mapped.output}
    issues = [*study.issues, *mapped.issues]
    causes = changes(None, study, site).causes
    for number, queued in enumerate(renderings_of_all(study, causes, site, receiver, facts)):
        asked = AskedMessage(study, queued.cause, site, receiver, facts)
        sent = oru_of(queued.made, asked, control_id="TRACE", at=_AT)
        issues += sent.issues
        if sent.output is not None:
            made[f"{MESSAGE}/{number}"] = sent.output
    read_before = like.parts if like is not None else {}
    known = {
        part: read_before[part]
        for part, one in made.items()
        if like is not None and like.made.get(part) == one and (isinstance(one, bytes) or like.named == named)
    }
    parts = {part: known[part] if part in known else _targets(one, named) for part, one in made.items()}
    return Outputs(parts, tuple(issues), study, made, named)


def _kind(part: str) -> str:
    return part.split("/", 1)[0]


def _address(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _names(resources: Iterable[Json]) -> dict[str, str]:
    """Name each resource by type, the ending of its id, and its index among equal ones."""
    seen: Counter[str] = Counter()
    names: dict[str, str] = {}
    for resource in resources:
        name = f"{resource['resourceType']}/{_HEX.sub('', resource['id'])}"
        names[_address(resource)] = f"{name}/{seen[name]}"
        seen[name] += 1
    return names


def _targets(made: Json | bytes, named: Mapping[str, str]) -> Targets:
    """Read the targets of a resource or of a message; references are by the names of what they lead to."""
    if isinstance(made, bytes):
        return _fields(made)
    targets: dict[str, set[Any]] = {}
    said = {key: one for key, one in made.items() if key not in _UNSAID}
    for path, value in elements(said, made["resourceType"]):
        targets.setdefault(path, set()).add(named.get(value, value) if path.endswith(".reference") else value)
    return {path: frozenset(values) for path, values in targets.items()}


def elements(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the scalars of a resource with their element paths; an extension is named by the end of its URL."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "url" and path.endswith(")"):
                continue
            yield from elements(value, f"{path}.{key.removeprefix('_')}")
    elif isinstance(node, list):
        for item in node:
            name = f"{path}({re.split('[:/]', item['url'])[-1]})" if path.endswith(".extension") else path
            yield from elements(item, name)
    elif path.endswith(".data"):
        yield path, b64decode(node).decode("utf-8", "replace")
    else:
        yield path, node


def _fields(message: bytes) -> Targets:
    """Fields of a message; fields of an OBX outside the report text are named by its observation.

    Beside its values, a field has their sequence over the segments without consecutive repeats. So a field that becomes
    empty in one segment, while others keep it, is a difference too.
    """
    received = read(message)
    targets: dict[str, set[Any]] = {}
    named: dict[str, list[Segment]] = {}
    lines: list[str] = []
    parts_of: dict[str, set[str]] = {}
    for segment in received.segments:
        name = segment.name if segment.name != "OBX" else kind_of_obx(segment.field(2), segment.field(3))
        named.setdefault(name, []).append(segment)
        for number, text in enumerate(segment.fields[1:], 1):
            target = f"{name}-{number}"
            if not text or f"{segment.name}-{number}" in _COUNTED:
                continue
            if target == "OBX-5":
                lines.append(text)
                continue
            if text not in parts_of:
                parts = re.split(r"[\^&]", text.replace(received.delimiters.repetition, "^"))
                parts_of[text] = {text, *(received.delimiters.unescape(part) for part in parts if part)}
            targets.setdefault(target, set()).update(parts_of[text])
    for target, values in targets.items():
        name, _, field = target.rpartition("-")
        values.add(tuple(text for text, _ in groupby(segment.field(int(field)) for segment in named[name])))
    if lines:
        targets["OBX-5"] = {"\n".join(lines)}
    return {target: frozenset(values) for target, values in targets.items()}


def kind_of_obx(value_type: str, observed: str) -> str:
    """Name an OBX by its OBX-2 and OBX-3, as in a trace: `OBX` for a line of the report, else with its OBX-3 code."""
    if value_type in ("TX", "FT"):
        return "OBX"
    return "OBX(PDF)" if value_type in ("ED", "RP") else f"OBX({observed.split('^', 1)[0]})"
