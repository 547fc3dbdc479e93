"""Trace each HL7 v2 field and FHIR element of a report to its mapping rule, AutoScribe's JSON values, and settings.

https://www.rfc-editor.org/rfc/rfc6901 (JSON pointers); decisions D6, D39. Pure: it traces the stored study, and reads
or records nothing.
Proved by tests/gateway/feed/operator/test_explain.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from gateway.routing.destination import Destination
from gateway.routing.preview import PreviewRequest, preview
from gateway.runtime.request_errors import NoMessage
from mappings import to_fhir
from mappings.issues import MappingIssue
from mappings.patient.identifiers import fhir_id
from mappings.patient.subjects import subjects
from mappings.profile import Receiver, Site
from mappings.study.conclusion import CutLine, cut_lines, passages
from mappings.trace import TraceRow, trace
from mappings.trace.outputs import (
    LANGUAGES,
    MESSAGE,
    Json,
    element_names,
    element_values,
    field_names,
    field_values,
    is_at,
    is_field,
)
from mappings.trace.probes import leaves
from mappings.trace.rules import TraceRule, builder_of, rule_of
from mappings.trace.settings import Setting, settings

_OF_REPORT: Final = frozenset({"DiagnosticReport", "Observation", "DocumentReference", "Provenance"})


@dataclass(frozen=True)
class ExplainedMapping:
    """Mapped report: resources, messages, issues, and which fields each JSON value and each setting changes.

    `cut` are the lines of its text, each with its section and its role in the conclusion (D36).
    """

    resources: Sequence[Json] = field(repr=False)
    messages: Sequence[bytes] = field(repr=False)
    rows: Sequence[TraceRow]
    settings: Sequence[Setting]
    issues: Sequence[MappingIssue]
    leaves: Mapping[str, Any] = field(repr=False)
    cut: Sequence[CutLine] = field(repr=False, default=())

    @cached_property
    def fields(self) -> frozenset[str]:
        """Names of all HL7 v2 fields that have a value."""
        return frozenset(name for message in self.messages for name in field_names(message))

    @cached_property
    def moved(self) -> frozenset[str]:
        """Names of all fields and elements that a JSON value or a setting changes."""
        by_leaves = (one for row in self.rows for one in (*row.fhir, *row.hl7v2))
        return frozenset((*by_leaves, *(one for setting in self.settings for one in setting.moves)))


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """Explanation of one field or element: its values, its rule, and the JSON values behind it.

    `settings` are the settings that change it; `issues` are the mapping issues of its leaves.
    """

    name: str
    values: Sequence[str] = field(repr=False)
    rule: TraceRule | None
    sources: Sequence[tuple[str, Any, str]] = field(repr=False)
    settings: Sequence[Setting]
    issues: Sequence[MappingIssue]

    @property
    def said(self) -> dict[str, Any]:
        """The explanation as JSON."""
        rule = self.rule
        return {
            "name": self.name,
            "values": list(self.values),
            "rule": None
            if rule is None
            else {"name": rule.name, "place": f"{rule.path}:{rule.line}", "clause": rule.clause, "from": rule.source},
            "sources": [{"pointer": pointer, "value": value, "class": kind} for pointer, value, kind in self.sources],
            "settings": [{"key": it.key, "value": it.value} for it in self.settings],
            "issues": [{"code": it.code, "pointer": it.pointer, "action": it.action} for it in self.issues],
        }


@dataclass(frozen=True, slots=True)
class MappedFor:
    """Receiver to map for, with the site profile adapted to its destination."""

    receiver: Receiver
    site: Site
    destination: Destination | None


def map_and_trace(
    asked: PreviewRequest, document: dict[str, Any], to: MappedFor, at: datetime, name: str
) -> ExplainedMapping:
    """Map a report, and trace its fields in the language of the one named, or all; this takes up to a second of CPU.

    Raises:
        WireError: the stored AutoScribe data no longer fits the contract.
    """
    site, receiver = to.site, to.receiver
    languages = LANGUAGES if not name else LANGUAGES[1:] if is_field(name) else LANGUAGES[:1]
    mapped = to_fhir(asked.study, site, asked.facts)
    issues = [*asked.study.issues, *mapped.issues]
    messages: Sequence[bytes] = ()
    try:
        shown = preview(asked, site, receiver, at)
    except NoMessage:
        pass
    else:
        messages, issues = shown.messages, [*issues, *shown.issues]
    return ExplainedMapping(
        resources_of(mapped.output, asked.report_id),
        messages,
        trace(document, site, receiver, asked.facts, languages=languages),
        settings(document, site, receiver, asked.facts, languages),
        tuple(dict.fromkeys(issues)),
        {leaf.pointer: leaf.value for leaf in leaves(document)},
        tuple(_cut(asked, site)),
    )


def _cut(asked: PreviewRequest, site: Site) -> Iterator[CutLine]:
    """Yield the lines of the report's text, cut into sections beside the patient's other reports."""
    study = asked.study
    report = next(one for one in study.reports if one.report_id == asked.report_id)
    about = subjects(study, study.reports, site, asked.facts)[asked.report_id]
    return cut_lines(passages(report, about.reports))


def resources_of(resources: Iterable[Json], report_id: str) -> list[Json]:
    """Return the resources of a report: its own, its patient, and those that all reports of the study share."""
    own = fhir_id(report_id)
    candidates = [one for one in resources if one["resourceType"] not in _OF_REPORT or one["id"].startswith(own)]
    report = next((one for one in candidates if one["resourceType"] == "DiagnosticReport"), {})
    patient = report.get("subject", {}).get("reference")
    return [one for one in candidates if one["resourceType"] != "Patient" or f"Patient/{one['id']}" == patient]


def explain_field(mapping: ExplainedMapping, name: str) -> FieldExplanation:
    """Explain a field (`PID-5`, `PID-5.1`) or an element (`DiagnosticReport.conclusion`)."""
    whole = name.rpartition(".")[0] if is_field(name) and "." in name else name
    rule, targets = _rule(whole), _targets(mapping, whole)
    moved = [row for row in mapping.rows if not targets.isdisjoint((*row.fhir, *row.hl7v2))]
    moved = moved or list(_deciding(mapping, whole, rule))
    pointers = {row.pointer for row in moved}
    return FieldExplanation(
        name,
        values(mapping, name),
        rule,
        [(row.pointer, mapping.leaves.get(row.pointer), row.kind) for row in moved],
        [one for one in mapping.settings if not targets.isdisjoint(one.moves)],
        [one for one in mapping.issues if one.pointer in pointers],
    )


def _targets(of: ExplainedMapping, name: str) -> set[str]:
    """Return the names under which the trace has a field or element; OBX-11 has one for each kind of OBX."""
    found = (one for one in of.moved if is_at(one, name))
    return {one for one in found if one == name or one in of.fields or not is_field(name)}


def _deciding(mapping: ExplainedMapping, name: str, rule: TraceRule | None) -> Iterator[TraceRow]:
    """Yield the JSON values that a rule names and that decide if the message or resource exists at all."""
    keys = set(re.findall(r"\.([A-Za-z]+)", rule.source)) if rule else set()
    whole = MESSAGE if is_field(name) else name.partition(".")[0]
    for row in mapping.rows:
        if row.pointer.rpartition("/")[2] in keys and whole in (*row.fhir, *row.hl7v2):
            yield row


def explain_every_field(of: ExplainedMapping) -> list[FieldExplanation]:
    """Explain every field and element that has a value, fields first, in their order of appearance."""
    names = [name for message in of.messages for name in field_names(message)]
    names += [name for resource in of.resources for name in element_names(resource)]
    return [replace(explain_field(of, name), issues=()) for name in dict.fromkeys(names)]


def values(of: ExplainedMapping, name: str) -> tuple[str, ...]:
    """Return the values of a field in the messages, or of an element in the resources."""
    return tuple(_values(of.messages, of.resources, name))


def _values(messages: Iterable[bytes], resources: Iterable[Json], name: str) -> Iterator[str]:
    if is_field(name):
        for message in messages:
            yield from field_values(message, name)
        return
    kind = name.partition(".")[0]
    for resource in resources:
        if resource["resourceType"] == kind:
            yield from element_values(resource, name)


def _rule(name: str) -> TraceRule | None:
    """Return the mapping rule of a field or element; None if the field is a row of its segment's table."""
    rule = rule_of(name)
    if rule is not None or is_field(name):
        return rule
    try:
        return builder_of(name)
    except LookupError:
        return None
