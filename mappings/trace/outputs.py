"""Map a study for the trace, read the values of its FHIR elements and HL7 v2 fields, and compare two outputs.

Carries out no clause of a standard; decision D6. Elements are named as in FHIR R4 (`Patient.name.family`), fields as in
HL7 v2 (`PID-5`, `OBX(PDF)-5`). A piece is an element of a resource with all within it, or the segments of one kind in a
message: no value has its target in two pieces, so a piece that is as it was need not be read again.
Proved by tests/mappings/trace/test_trace.py and tests/mappings/trace/test_values.py.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import chain, groupby, zip_longest
from typing import Any, Final, Literal

from mappings.fhir import to_fhir
from mappings.hl7v2.oru_r01 import oru_of, renderings_of_all
from mappings.hl7v2.received import Delimiters, Segment, read
from mappings.hl7v2.rendering import AskedMessage
from mappings.issues import MappingIssue
from mappings.life.changes import changes
from mappings.model import Cause, Facts, Study
from mappings.profile import Receiver, Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.autoscribe import decode
from mappings.values.text import normal_form

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
    """Resource or message (`made`), its pieces by name, and the targets of each piece with their values."""

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
        pieces, targets_of = _elements_of(made), partial(_values_in_piece, made["resourceType"], named)
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


def _values_in_piece(kind: str, named: Mapping[str, str], element: str, piece: Piece) -> Targets:
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


Language = Literal["FHIR", "HL7 v2"]
LANGUAGES: Final[tuple[Language, ...]] = ("FHIR", "HL7 v2")
MESSAGE: Final = "ORU^R01"
_AT: Final = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
_HEX: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Outputs:
    """Resources and messages of a study by names that do not depend on ids; `named` has the names by address."""

    study: Study = field(repr=False)
    resources: Mapping[str, Part] = field(default_factory=dict, repr=False)
    messages: Mapping[str, Part] = field(default_factory=dict, repr=False)
    issues: tuple[MappingIssue, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict, repr=False)

    def types(self) -> frozenset[str]:
        """Names of the resource types."""
        return frozenset(map(_kind, self.resources))

    def fhir_targets(self) -> Iterator[str]:
        """Yield every FHIR element that has a value."""
        return (target for target, _ in _values(self.resources))

    def hl7v2_targets(self) -> Iterator[str]:
        """Yield every HL7 v2 field that has a value."""
        return (target for target, _ in _values(self.messages))

    def differences(self, other: Outputs) -> Iterator[str]:
        """Yield the targets whose values differ; for a part in only one of the two, the name of its kind."""
        for mine, theirs in ((self.resources, other.resources), (self.messages, other.messages)):
            yield from map(_kind, mine.keys() ^ theirs.keys())
            for part in mine.keys() & theirs.keys():
                if mine[part] is not theirs[part]:
                    yield from _differences(mine[part], theirs[part])

    def holds(self, value: Any, targets: AbstractSet[str]) -> bool:
        """True if one of these targets has the value unchanged."""
        normal = normal_form(value).strip() if isinstance(value, str) else value
        wanted = {normal, str(normal)} if not isinstance(normal, bool) else {normal}
        every = chain(_values(self.resources), _values(self.messages))
        return any(target in targets and wanted & values for target, values in every)


def decoded(document: Json, reuse: Reuse = NO_REUSE) -> Study:
    """Decode a study document.

    Raises:
        WireError: the document violates the upstream contract.
    """
    head = {key: value for key, value in document.items() if key not in ("reports", "users")}
    reports, users = document.get("reports", ()), document.get("users", ())
    is_study = "studyReportStatus" in head or "reportMetadata" in head
    return decode(head if is_study else None, reports, users, reuse)


def outputs(  # noqa: PLR0913 (all that outputs depend on, and three means to save work)
    document: Json,
    site: Site,
    receiver: Receiver,
    facts: Facts,
    *,
    like: Outputs | None = None,
    languages: Collection[Language] = LANGUAGES,
    reuse: Reuse = NO_REUSE,
) -> Outputs:
    """Map a study document. What is the same in `like`, of the same settings and facts, is taken from there.

    So is a language that is not asked for, even if it is not the same.

    Raises:
        WireError: the document violates the upstream contract.
    """
    study = decoded(document, reuse)
    if like is not None and like.study == study:
        return like
    return outputs_of(study, site, receiver, facts, like=like, languages=languages, reuse=reuse)


def outputs_of(  # noqa: PLR0913 (as above)
    study: Study,
    site: Site,
    receiver: Receiver,
    facts: Facts,
    *,
    like: Outputs | None = None,
    languages: Collection[Language] = LANGUAGES,
    reuse: Reuse = NO_REUSE,
) -> Outputs:
    """Map a study. The parts that are the same in `like`, of any settings and facts, are not read again."""
    known = Outputs(study) if like is None else like
    resources, named, messages, issues = known.resources, known.named, known.messages, list(study.issues)
    if "FHIR" in languages:
        mapped = to_fhir(study, site, facts, reuse)
        named = _names(mapped.output)
        resources = _resources(mapped.output, named, known)
        issues += mapped.issues
    if "HL7 v2" in languages:
        written, doubts = _written(study, site, receiver, facts, reuse)
        messages = {part: _read(one, named, known.messages.get(part)) for part, one in written.items()}
        issues += doubts
    return Outputs(study, resources, messages, tuple(issues), named)


def _resources(made: Iterable[Json], named: Mapping[str, str], known: Outputs) -> dict[str, Part]:
    # All references lead to resources of their own output: an address in one of the two stands in no equal piece
    are_alike = all(known.named.get(address, name) == name for address, name in named.items())
    parts = ((named[_address(one)], one) for one in made)
    return {part: _read(one, named, known.resources.get(part) if are_alike else None) for part, one in parts}


def _written(
    study: Study, site: Site, receiver: Receiver, facts: Facts, reuse: Reuse
) -> tuple[dict[str, bytes], list[MappingIssue]]:
    """Write the messages of a new study, with their issues."""
    causes = _causes(study, site, reuse)
    written: dict[str, bytes] = {}
    issues: list[MappingIssue] = []
    for number, queued in enumerate(renderings_of_all(study, causes, site, receiver, facts, reuse=reuse)):
        asked = AskedMessage(study, queued.cause, site, receiver, facts)
        sent = oru_of(queued.made, asked, control_id="TRACE", at=_AT, reuse=reuse)
        issues += sent.issues
        if sent.output is not None:
            written[f"{MESSAGE}/{number}"] = sent.output
    return written, issues


def _causes(study: Study, site: Site, reuse: Reuse) -> tuple[Cause, ...]:
    """Return the causes of a new study's messages. Their version is not given: it stands in MSH-10 alone."""
    of_reports = [(one.report_id, one.status, one.is_addendum, one.text) for one in study.reports]
    given = site, study.study_type, study.is_cancelled, of_reports
    return reuse.of(changes, given, lambda: changes(None, study, site).causes)


def _read(made: Json | bytes, named: Mapping[str, str], before: Part | None) -> Part:
    return before if before is not None and before.made == made else part_of(made, named, before)


def _values(parts: Mapping[str, Part]) -> Iterator[tuple[str, frozenset[Any]]]:
    return (one for part in parts.values() for piece in part.targets.values() for one in piece.items())


def _differences(mine: Part, theirs: Part) -> Iterator[str]:
    for piece in mine.targets.keys() | theirs.targets.keys():
        before, after = mine.targets.get(piece, {}), theirs.targets.get(piece, {})
        if before is not after:
            yield from (target for target in before.keys() | after.keys() if before.get(target) != after.get(target))


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


_FIELD: Final = re.compile(r"([A-Z][A-Z0-9]{2})(\([^)]+\))?-([0-9]{1,3})(?:\.([0-9]{1,2}))?")
_ELEMENT: Final = re.compile(r"[A-Z][A-Za-z]+\.[a-z][A-Za-z]*(?:\.[a-z][A-Za-z]*|\([^)]*\))*")


def is_field(name: str) -> bool:
    """True for the name of an HL7 v2 field, or of a component of one: `PID-5`, `PID-5.1`."""
    return _FIELD.fullmatch(name) is not None


def is_element(name: str) -> bool:
    """True for the name of a FHIR element: `DiagnosticReport.conclusion`."""
    return _ELEMENT.fullmatch(name) is not None


def is_at(target: str, name: str) -> bool:
    """True if a target of a trace is the named one or within it; a bare OBX name matches every kind of OBX."""
    match = _FIELD.fullmatch(name)
    if match is None:
        return target == name or target.startswith((f"{name}.", f"{name}("))
    segment, kind, number, _ = match.groups()
    bare = target if kind else re.sub(r"\([^)]*\)", "", target)
    return bare == f"{segment}{kind or ''}-{number}"


def field_values(message: bytes, name: str) -> tuple[str, ...]:
    """Values of a field, one for each segment that has one; still escaped.

    Raises:
        Unreadable: the bytes are no HL7 v2 message.
    """
    match = _FIELD.fullmatch(name)
    if match is None:
        return ()
    segment, kind, number, component = match.groups()
    received = read(message)
    values = []
    for segment_of_name in received.segments:
        if segment_of_name.name == segment and (
            kind is None or _kind_of_segment(segment_of_name) == f"{segment}{kind}"
        ):
            value = segment_of_name.field(int(number))
            parts = [*received.components(value), *[""] * 99] if component else []
            values.append(parts[int(component) - 1] if component else value)
    return tuple(value for value in values if value)


def element_values(resource: Json, name: str) -> tuple[str, ...]:
    """Scalars of an element and everything within it; those within are preceded by their path."""
    return tuple(_value_text(path, value, name) for path, value in _scalars(resource) if is_at(path, name))


def field_names(message: bytes) -> Iterator[str]:
    """Yield the names of the fields that have a value, in order; several segments of a name share them.

    Raises:
        Unreadable: the bytes are no HL7 v2 message.
    """
    for segment in read(message).segments:
        yield from (
            f"{_kind_of_segment(segment)}-{number}" for number, text in enumerate(segment.fields) if number and text
        )


def element_names(resource: Json) -> Iterator[str]:
    """Yield the names of the elements that have a value, in order, without the narrative."""
    kind = resource["resourceType"]
    yield from (path for path, _ in _scalars(resource) if not path.startswith((f"{kind}.text.", f"{kind}.meta.")))


def _kind_of_segment(segment: Segment) -> str:
    return kind_of_obx(segment.field(2), segment.field(3)) if segment.name == "OBX" else segment.name


def _scalars(resource: Json) -> list[tuple[str, Any]]:
    return elements({key: one for key, one in resource.items() if key != "resourceType"}, resource["resourceType"])


def _value_text(path: str, value: Any, name: str) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if path == name else f"{path.removeprefix(name).removeprefix('.')}: {text}"
