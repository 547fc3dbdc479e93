"""`explain`: show where the value of a report's field comes from, and the value in each version sent.

https://www.rfc-editor.org/rfc/rfc6901 (JSON pointers); decisions D6, D39. The output holds patient data. Each use is
therefore recorded in the audit, by ids only, before anything is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from gateway.feed.fate import ReportFate, fates, places
from gateway.feed.operator.arguments import RefusedCommand, Shows, destination_named, id_of, unnoted, wrong
from gateway.feed.operator.explained import ExplainedMapping, every, explained, map_and_trace
from gateway.feed.operator.explained_lines import Explanation, SentVersion, SentVersions
from gateway.feed.operator.order_of_study import HeldAt, order_matches
from gateway.routing import Destination, routes_of
from gateway.routing.preview import PreviewRequest
from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant, micros
from gateway.store.database.operator_acts import noted
from gateway.store.feed.destinations import known_as
from gateway.store.feed.ledger import messages_of_study, versions_of
from gateway.store.feed.outbox import held_rows_of
from gateway.store.pdfs import Pdfs
from gateway.store.studies.stored_reports import StoredStudy, stored_study
from mappings.patient.identifiers import fhir_id
from mappings.profile import Receiver, Site
from mappings.trace.outputs import element_values, field_values, is_element, is_field

_VERB: Final = "explain"
_USUAL: Final = "generic"
_CONCLUSION: Final = "DiagnosticReport.conclusion"
# Fields that depend on the place at which the text was cut
_CUT: Final = frozenset({"OBX-3", "OBX-8", _CONCLUSION})


@dataclass(frozen=True, slots=True)
class Question:
    """Question about a report: one field or all (`name` empty), as mapped for destination `at`.

    With `sent`, the field's value in each version sent is shown too. `conclusion` is short for the element.
    """

    report_id: str
    name: str = ""
    at: str | None = None
    sent: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.name == "conclusion":
            object.__setattr__(self, "name", _CONCLUSION)
        if self.name and not (is_field(self.name) or is_element(self.name)):
            remedy = "Write a field such as PID-5, or an element such as DiagnosticReport.conclusion."
            raise wrong("FIELD", "neither a field of HL7 v2 nor an element of FHIR", remedy)
        if self.sent and not self.name:
            raise wrong("--sent", "without a field", "Write one; `feed show REPORT` has all that differs.")


@dataclass(frozen=True, slots=True)
class _To:
    """Receiver to map for, with the site profile adapted to it."""

    receiver: Receiver
    site: Site
    destination: Destination | None


async def explain(
    engine: Engine, configuration: Configuration, question: Question, *, shows: Shows = unnoted
) -> Explanation | RefusedCommand:
    """Explain a field of a report, or all; refused if the report is not stored.

    `shows` gets the report and its patient before anything is returned.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached; nothing is returned, since the audit could not be written.
    """
    to = _to(configuration, question.at)
    report_id = id_of(question.report_id)
    if to.destination is not None and question.at:
        question = replace(question, at=await known_as(engine, to.destination.name, to.destination.formerly))
    study = await stored_study(engine, report_id)
    if study is None:
        return RefusedCommand(("no such report is stored",))
    argument = " ".join(filter(None, (report_id, question.name, question.at and f"at {question.at}")))
    await engine.do(partial(noted, _VERB, argument, question.reason, micros(clock.now())))
    mapping = await _made(engine, study, to)
    patients = [str(one["id"]) for one in mapping.resources if one["resourceType"] == "Patient"]
    shows([f"DiagnosticReport/{fhir_id(report_id)}"], patients)
    held = [HeldAt(*one) for one in await held_rows_of(engine, study.study_id) if question.at in {None, one[0]}]
    return Explanation(
        report_id,
        study.study_id,
        to.receiver.name,
        to.destination.name if to.destination else None,
        tuple(await _fates(configuration, engine, study, question.at)),
        (explained(mapping, question.name),) if question.name else tuple(every(mapping)),
        tuple(mapping.cut) if question.name in _CUT else None,
        await _sent(engine, study, mapping, question) if question.sent else None,
        (await order_matches(engine, [study.study_id])).get(study.study_id),
        tuple(held) or None,
        is_of_one=bool(question.name),
    )


async def _fates(configuration: Configuration, engine: Engine, stored: StoredStudy, at: str | None) -> list[ReportFate]:
    """Return the fates of the report: at each destination, or at one."""
    every = await fates(engine, [stored.study_id], await places(engine, routes_of(configuration).destinations))
    return [one for one in every if one.report_id == stored.report_id and at in {None, one.place.name}]


def _to(configuration: Configuration, at: str | None) -> _To:
    """Return the named destination, or the only enabled one; without either, a receiver of the generic profile."""
    enabled = [one for one in routes_of(configuration).destinations if one.is_enabled]
    destination = (
        destination_named(configuration, at, enabled=False) if at else enabled[0] if len(enabled) == 1 else None
    )
    if destination is None:
        return _To(configuration.site.receiver(_USUAL), configuration.site, None)
    return _To(destination.receiver, destination.site(configuration.site), destination)


async def _made(engine: Engine, stored: StoredStudy, to: _To) -> ExplainedMapping:
    """Map the stored study for the receiver and trace its fields."""
    kept = stored.kept()
    facts = kept.facts
    if to.receiver.takes_pdf:
        facts = replace(facts, pdf=await Pdfs(engine).with_data(facts.pdf, to.receiver.pdf_max))
    asked = PreviewRequest(kept.study, facts, stored.report_id)
    return await computed(map_and_trace, asked, stored.document(), to.site, to.receiver, clock.now())


async def _sent(
    engine: Engine, stored: StoredStudy, mapping: ExplainedMapping, question: Question
) -> tuple[SentVersions, ...]:
    """Return the field's values in each version sent: messages by destination, or versions of FHIR resources."""
    if is_field(question.name):
        return await _messages(engine, stored, question)
    kind = question.name.partition(".")[0]
    by_resource = []
    for resource in mapping.resources:
        if resource["resourceType"] == kind:
            address = f"{kind}/{resource['id']}"
            versions = [
                SentVersion(instant(updated), f"version {number}", tuple(element_values(body, question.name)))
                for number, updated, body in await versions_of(engine, address)
            ]
            by_resource.append(SentVersions(address, tuple(versions)))
    return tuple(by_resource)


async def _messages(engine: Engine, stored: StoredStudy, question: Question) -> tuple[SentVersions, ...]:
    """Return the field's values in each message sent, by destination."""
    by_destination: dict[str, list[SentVersion]] = {}
    for message in await messages_of_study(engine, stored.study_id):
        report_ids = {message.report_id, *message.report_ids}
        is_meant = question.at in {None, message.destination} and stored.report_id in report_ids
        if is_meant and message.sent is not None:
            values = None if message.body is None else tuple(field_values(message.body, question.name))
            name = f"{message.control_id}, {message.kind}, {message.state}"
            by_destination.setdefault(message.destination, []).append(SentVersion(instant(message.sent), name, values))
    return tuple(SentVersions(name, tuple(versions)) for name, versions in by_destination.items())
