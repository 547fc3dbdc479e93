"""Check a message against the rules in a receiver's profile, and find switches by which messages would break them.

HL7 v2.5.1 §2.16 (message profiles), decisions D16-D22, D34. Rules are defined in `mappings/profile/rule.py`. The check
of switches is a trial: it writes a made-up study in which no field is empty, in each state of a study's life, by the
profile. If that breaks a rule, it changes each switch to find one that helps. The values of the made-up study are as
awkward as valid ones get: delimiters, lines of 200 characters, letters beyond ASCII, several orders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from mappings.hl7v2.er7 import NULL
from mappings.hl7v2.oru_r01 import messages, to_oru
from mappings.hl7v2.received import Delimiters, Received, Segment, placed, read
from mappings.issues import MappingIssue, SiteError
from mappings.model import Cause, Facts, Measurement, PdfFacts, Report, Snapshot, Study, User
from mappings.profile import AssigningAuthority, Directory, Facility, Provider, Receiver, Rule, Site, switches
from mappings.profile.receiver import conflicts, written_as
from mappings.profile.rule import ANYWHERE, RulePlace, Where, place_of
from mappings.profile.vista import Vista
from mappings.sections import cut

_Texts = Sequence[str]
_ESCAPED: Final = re.compile(r"\\[^\\]*\\")


def _has_part(text: str, part: str) -> bool:
    r"""True if a text has a part; an escape sequence counts only where it is read as one: `\E\F\E\` has no `\F\`."""
    return part in (_ESCAPED.findall(text) if _ESCAPED.fullmatch(part) else text)


def _length(text: str) -> int:
    """Count characters as the receiver does after decoding the escape sequences."""
    return len(_ESCAPED.sub(" ", text))


# Rule verb -> its check of two lists: the texts at the rule's place (one per repetition, as in the message), and the
# rule's `value`, or for `equal` the texts at the other place
CHECKS: Final[dict[str, Callable[[_Texts, _Texts], bool]]] = {
    "be_valued": lambda texts, _: any(text.strip("^&~") not in ("", NULL) for text in texts),
    "be_empty": lambda texts, _: not any(texts),
    "be_one_of": lambda texts, allowed: all(text in allowed for text in texts),
    "not_be_one_of": lambda texts, refused: not any(text in refused for text in texts),
    "not_contain": lambda texts, refused: not any(_has_part(text, part) for text in texts for part in refused),
    "match": lambda texts, pattern: all(re.fullmatch(pattern[0], text) for text in texts),
    "equal": lambda texts, others: list(texts) == list(others),
    "be_at_most": lambda texts, limit: all(_length(text) <= int(limit[0]) for text in texts),
}


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a message breaks, and the place, such as `OBX[3]-5`; never the offending value."""

    rule: Rule
    place: str

    @property
    def issue(self) -> MappingIssue:
        """Convert to an issue: an error if the message must not be sent."""
        is_blocking = self.rule.level == "block"
        action = f"{self.rule} ({self.rule.source}){': not sent' if is_blocking else ''}"
        return MappingIssue(f"rule-{self.rule.name}", "error" if is_blocking else "warning", self.place, action)


def check_rules(message: bytes, receiver: Receiver) -> tuple[Broken, ...]:
    """Find the receiver's rules that a message breaks, in the order of the profile; empty if it keeps all.

    A missing segment counts as one without fields, unless the rule has a `where`.

    Raises:
        Unreadable: the bytes are no HL7 v2 message.
    """
    received = read(message)
    names = [name for name, _ in placed(received)]
    return tuple(Broken(rule, place) for rule in receiver.rules for place in _broken_places(rule, received, names))


def _broken_places(rule: Rule, received: Received, names: list[str]) -> Iterator[str]:
    """Yield the places where a message breaks a rule."""
    if rule.field.segment == ANYWHERE:
        yield from _broken_anywhere(rule, received, names)
        return
    chosen = list(_chosen(rule, received))
    kept = [_is_kept(rule, received, index) for index in chosen]
    if rule.of == "any":
        if not any(kept):
            yield str(rule.field)
        return
    place = str(rule.field).removeprefix(rule.field.segment)
    for index, is_kept in zip(chosen, kept, strict=True):
        if not is_kept:
            yield (rule.field.segment if index is None else names[index]) + place


def _chosen(rule: Rule, received: Received) -> Iterator[int | None]:
    """Yield the index of each segment that a rule concerns; None stands for a missing segment."""
    places = [index for index, segment in enumerate(received.segments) if segment.name == rule.field.segment]
    if rule.where is None and not places:
        yield None
    for index in places:
        if rule.where is None or _is_chosen(rule.where, received, index):
            yield index


def _is_chosen(where: Where, received: Received, index: int) -> bool:
    return (where.text in _texts(received, index, where.place)) is where.is_equal


def _is_kept(rule: Rule, received: Received, index: int | None) -> bool:
    value: _Texts = rule.value
    if rule.must == "equal":
        value = _texts(received, index, place_of(rule.value[0]))
    return CHECKS[rule.must](_texts(received, index, rule.field), value)


def _texts(received: Received, index: int | None, place: RulePlace) -> list[str]:
    """Texts at a place, seen from a segment: in it, else in the last such segment before it, else in the first.

    One text for each repetition; at least one.
    """
    segments = received.segments
    if index is not None and segments[index].name == place.segment:
        return texts_at(segments[index], place, received.delimiters)
    backwards = reversed(segments if index is None else segments[: index + 1])
    segment = next((one for one in (*backwards, *segments) if one.name == place.segment), None)
    return texts_at(segment, place, received.delimiters) if segment else [""]


def texts_at(segment: Segment, place: RulePlace, delimiters: Delimiters) -> list[str]:
    """Texts at a place of a segment, one per repetition of the field; at least one."""
    text = segment.field(place.field)
    if segment.name == "MSH" and place.field <= 2:
        return [text]
    return [_part(one, place, delimiters) for one in text.split(delimiters.repetition)]


def _part(text: str, place: RulePlace, delimiters: Delimiters) -> str:
    for number, delimiter in (
        (place.component, delimiters.component),
        (place.subcomponent, delimiters.subcomponent),
    ):
        if number:
            text = (text.split(delimiter) + [""] * number)[number - 1]
    return text


def _broken_anywhere(rule: Rule, received: Received, names: list[str]) -> Iterator[str]:
    """Yield the fields of all segments in which a value breaks a rule about every value."""
    marks = received.delimiters
    divided = re.compile("|".join(map(re.escape, (marks.repetition, marks.component, marks.subcomponent))))
    for name, segment in zip(names, received.segments, strict=True):
        for number in range(3 if segment.name == "MSH" else 1, len(segment.fields)):
            if any(not CHECKS[rule.must]([part], rule.value) for part in divided.split(segment.field(number))):
                yield f"{name}-{number}"


AT: Final = datetime(2026, 1, 5, 18, 0, tzinfo=UTC)
SITE: Final = Site(
    facilities={
        "Specimen Hospital": Facility(
            name="Specimen Hospital",
            time_zone=ZoneInfo("America/New_York"),
            name_order="given_family",
            mrn=AssigningAuthority("urn:oid:2.999.1", "SPECIMEN"),
            external_patient_id=AssigningAuthority("urn:oid:2.999.2", "SPECIMEN_EXT"),
            code="SPECIMEN",
        )
    },
    sending_application="RA-SPECIMEN",
    sending_facility="SPECIMEN",
    receiving_application="RECEIVER",
    receiving_facility="RECEIVER",
    accession_keys=("accession",),
    placer_keys=("order",),
    number_separator=",",
    send_drafts=True,
    providers=Directory({}, {f"usr_{1:032x}": Provider("Smith", local_id="1234")}),
    provider_authority=AssigningAuthority("urn:oid:2.999.3", "SPECIMEN_STAFF"),
    vista=Vista("SPECIMEN", station="500", exam_keys=("exam",), case_keys=("case",)),
    fhir_base="https://gateway.example/fhir",
)
_SNAPSHOT: Final = Snapshot(
    date_of_birth="1971-02-14",
    facility_name="Specimen Hospital",
    height=Measurement("cm", 165),
    mrn="00412345",
    patient_name="M\u00fcller^Jos\u00e9^Q^Jr.^Dr.",
    procedure="CT Chest with contrast",
    referring_physician_name="JONES^ANN^^^DR",
    sex="female",
    study_date="2026-01-05",
    study_time="14:20",
    weight=Measurement("kg", 70.5),
)
_REPORT_ID: Final = f"rep_{1:032x}"
_ADDENDUM_ID: Final = f"rep_{2:032x}"
_TEXT: Final = f"""EXAM: CT chest & abdomen

FINDINGS:
Filling defect (series 4 | image 112) ~ 8 mm; path C:\\x ^ ~ \u2265 1 \u00b5m.
{"A line that is long. " * 10}
""

IMPRESSION:
1. Acute pulmonary embolism | right lower lobe.

RECOMMENDATION: Call."""


_ADDENDUM_TEXT: Final = "ADDENDUM: Compared with 12-Mar-2024 | no change."


def _reports() -> tuple[Report, Report]:
    report = Report(
        report_id=_REPORT_ID,
        study_id=f"stu_{1:032x}",
        user_id=f"usr_{1:032x}",
        status="completed",
        is_addendum=False,
        is_critical=True,
        created_at="2026-01-05T15:00:00Z",
        signed_at="2026-01-05T16:30:12Z",
        updated_at="2026-01-05T16:30:12Z",
        snapshot=_SNAPSHOT,
        text=_TEXT,
        sections=cut(_TEXT),
    )
    addendum = replace(
        report,
        report_id=_ADDENDUM_ID,
        is_addendum=True,
        signed_at="2026-01-05T17:45:00Z",
        text=_ADDENDUM_TEXT,
        sections=cut(_ADDENDUM_TEXT),
        pointer="/reports/1",
    )
    return report, addendum


@cache
def _study() -> Study:
    """Return the specimen with its addendum; it is made when first asked for, since cutting texts takes time."""
    report, addendum = _reports()
    return Study(
        study_id=report.study_id,
        reports=(report, addendum),
        study_instance_uid="2.999.1.2.3",
        study_description="CT chest",
        severity="stat",
        study_report_status="completed",
        is_cancelled=False,
        metadata_snapshot=_SNAPSHOT,
        external_patient_id="EXT-77",
        modality="CT",
        clinical_history="Cancer | 2019",
        clinical_indication="Dyspnoea & pain",
        technologist_technique="Helical",
        technologist_notes=("Contrast given | 80 ml", "Two\nlines"),
        metadata={
            "accession": "500-010526-1,500-010526-2",
            "order": "PL1,PL2",
            "exam": "7058894.8579-1,7058894.8579-2",
            "case": "010526-1,010526-2",
        },
        users={
            report.user_id: User(
                user_id=report.user_id,
                first_name="Alex",
                middle_name="R",
                last_name="Smith",
                suffix1="MD",
                npi_number="1234567893",
            )
        },
    )


_PDF: Final = {report_id: PdfFacts(8, bytes(20), b"%PDF-1.4") for report_id in (_REPORT_ID, _ADDENDUM_ID)}


@dataclass(frozen=True, slots=True)
class Occasion:
    """One reason for a message about the specimen; `name` is for texts: "an addendum"."""

    name: str
    study: Study
    cause: Cause
    site: Site = SITE
    facts: Facts = field(default_factory=lambda: Facts(pdf=_PDF))


def occasions() -> Iterator[Occasion]:
    """Yield each state of the specimen's life, and the first one also with a single order."""
    with_addendum = _study()
    report, addendum = with_addendum.reports
    study = replace(with_addendum, reports=(report,))
    one_order = replace(study, metadata={key: one.partition(",")[0] for key, one in study.metadata.items()})
    draft = replace(report, status="in_progress", signed_at=None)
    yield Occasion("a draft", replace(study, reports=(draft,)), Cause(report.report_id, "draft"))
    yield Occasion("a first report", one_order, Cause(report.report_id))
    yield Occasion("a report on two orders", study, Cause(report.report_id))
    added = Cause(addendum.report_id, "addendum_signed", sent_before=True)
    yield Occasion("an addendum", with_addendum, added)
    yield Occasion("a correction", study, Cause(report.report_id, "text_changed", sent_before=True))
    cancelled = replace(with_addendum, is_cancelled=True)
    withdraw = replace(SITE, on_cancelled_after_sign="withdraw")
    yield Occasion("a withdrawal", cancelled, Cause(report.report_id, "withdrawn", sent_before=True), withdraw)


def written(occasion: Occasion, receiver: Receiver) -> tuple[bytes, ...]:
    """Write the messages of an occasion by a receiver's profile; empty if nothing is sent."""
    study, site, facts = occasion.study, occasion.site, occasion.facts
    made = (
        to_oru(study, cause, site, receiver, facts, control_id="SPECIMEN", at=AT).output
        for cause in messages(study, occasion.cause, site, receiver, facts)
    )
    return tuple(message for message in made if message is not None)


def contradictions(receiver: Receiver) -> tuple[SiteError, ...]:
    """Find the faults that make a receiver's profile unusable, each with the switch, the reason and the remedy.

    Empty if no message about a study with every value known breaks a `block` rule of the profile.
    """
    names_by_refusal: dict[tuple[Rule, tuple[_Turn, ...]], list[str]] = {}
    for occasion in occasions():
        for refusal in _refusals(occasion, receiver):
            names_by_refusal.setdefault(refusal, []).append(occasion.name)
    return tuple(_site_error(receiver, rule, turns, names) for (rule, turns), names in names_by_refusal.items())


@dataclass(frozen=True, slots=True)
class _Turn:
    """Change of one switch to another value; `key` is the switch, or the changed entry of a map."""

    switch: str
    value: Any
    key: str

    def __str__(self) -> str:
        return f"{self.switch} = {written_as(self.value)}"


def _site_error(receiver: Receiver, rule: Rule, turns: tuple[_Turn, ...], occasion_names: list[str]) -> SiteError:
    problem = f"{', '.join(occasion_names)} would break `{rule.name}`: {rule} ({rule.source})"
    remedy = f"Write {' or '.join(map(str, turns))}." if turns else "No switch alone mends it: turn several."
    return SiteError(f"mapping.receivers.{receiver.name}.{turns[0].key if turns else 'rules'}", problem, remedy)


def _refusals(occasion: Occasion, receiver: Receiver) -> list[tuple[Rule, tuple[_Turn, ...]]]:
    """The `block` rules that an occasion breaks, each with the switch changes that fix it and break nothing else."""
    broken = _broken_rules(occasion, receiver)
    if not broken:
        return []
    turns = ((turn, _broken_rules(occasion, turned)) for turn, turned in _turns(receiver))
    tried = [(turn, left) for turn, left in turns if left is not None]
    return [
        (rule, tuple(turn for turn, left in tried if rule not in left and set(left) <= set(broken))) for rule in broken
    ]


def _broken_rules(occasion: Occasion, receiver: Receiver) -> list[Rule] | None:
    """The `block` rules that an occasion's messages break; None if there is no message."""
    messages = written(occasion, receiver)
    rules = [broken.rule for message in messages for broken in check_rules(message, receiver)]
    return [rule for rule in dict.fromkeys(rules) if rule.level == "block"] if messages else None


def _turns(receiver: Receiver) -> Iterator[tuple[_Turn, Receiver]]:
    """Yield each valid profile with one switch changed (for `status_map`, one entry)."""
    for turn in _all_turns(receiver):
        turned = replace(receiver, **{turn.switch: turn.value})
        if not conflicts(turned):
            yield turn, turned


def _all_turns(receiver: Receiver) -> Iterator[_Turn]:
    for name, switch in switches().items():
        now = getattr(receiver, name)
        if name == "status_map":
            for key, codes in switch.metadata["keys"].items():
                for code in codes:
                    yield _Turn(name, tuple({**dict(now), key: code}.items()), f"{name}.{key}")
        elif "keys" not in switch.metadata:
            values = switch.metadata.get("values", ())
            yield from (_Turn(name, value, name) for value in values if value != now)
