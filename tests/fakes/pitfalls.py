"""Seeded studies with the pitfalls of real data, and the frequency of each.

They are the pitfalls in AutoScribe's data. Those of a PDF's download, of webhooks and of unknown ids are in the tests
of the upstream client and of the facade.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from fakes.seeded import documents

from gateway.sandbox.people import FACILITIES
from gateway.sandbox.seed import generate
from gateway.sandbox.seed_study import instant
from mappings import decode, to_fhir
from mappings.model import Facts, PdfFacts
from mappings.profile import AssigningAuthority, Facility, Site

Json = dict[str, Any]
ABSENT: Final = object()
KNOWN: Final = [one for one in FACILITIES if one.is_known]
IN_NEW_YORK: Final = KNOWN[0].name
SNAPSHOT: Final = (
    *("age", "dateOfBirth", "facilityName", "height", "mrn", "patientName", "procedure"),
    *("referringPhysicianName", "sex", "studyDate", "studyTime", "weight"),
)
# A site with every setting, which publishes drafts and withdrawals
SITE: Final = Site(
    facilities={
        one.name: Facility(
            one.name,
            time_zone=ZoneInfo(one.time_zone),
            name_order=one.name_order,
            mrn=AssigningAuthority(one.mrn_system, one.mrn_namespace),
            external_patient_id=AssigningAuthority(f"{one.mrn_system}.9", f"{one.mrn_namespace}_X"),
            code=one.mrn_namespace,
        )
        for one in KNOWN
    },
    sending_facility="SANDBOX",
    accession_keys=("accession",),
    placer_keys=("placer",),
    number_separator=",",
    send_drafts=True,
    on_cancelled_after_sign="withdraw",
    on_conflict="send",
)


@dataclass(frozen=True, slots=True)
class Wire:
    """A study to be mapped: its Study (None if only its reports are known), `GET /reports`, users, facts."""

    study: Json | None
    response: Json
    users: tuple[Json, ...] = ()
    facts: Facts = field(default_factory=Facts)

    @property
    def reports(self) -> list[Json]:
        return self.response["reports"]

    def mapped(self, site: Site) -> tuple[Json, ...]:
        """Map the study to FHIR resources."""
        return to_fhir(decode(self.study, self.response, self.users), site, self.facts).output


Change = Callable[[Wire], Wire]


def _with(values: Json, changes: Json) -> Json:
    return {key: value for key, value in {**values, **changes}.items() if value is not ABSENT}


def _reports(wire: Wire, reports: Iterable[Json]) -> Wire:
    return replace(wire, response={**wire.response, "reports": list(reports)})


def snapshot(**changes: Any) -> Change:
    """Change every snapshot to these values."""

    def change(wire: Wire) -> Wire:
        reports = [{**one, "snapshotMetadata": _with(one["snapshotMetadata"], changes)} for one in wire.reports]
        known = wire.study and {**wire.study, "reportMetadata": _with(wire.study["reportMetadata"], changes)}
        return _reports(replace(wire, study=known), reports)

    return change


def report(**changes: Any) -> Change:
    """Change every report to these values."""
    return lambda wire: _reports(wire, (_with(one, changes) for one in wire.reports))


def study(**changes: Any) -> Change:
    """Change the Study to these values."""
    return lambda wire: replace(wire, study=_with(wire.study or {}, changes))


def uid(value: str) -> Change:
    """Change the Study Instance UID."""
    return lambda wire: replace(
        wire,
        study=wire.study and {**wire.study, "studyInstanceUid": value},
        response={**wire.response, "studyInstanceUid": value},
    )


def facts(make: Callable[[Json], Json]) -> Change:
    """Set the facts that `make` returns for the first report."""
    return lambda wire: replace(wire, facts=replace(wire.facts, **make(wire.reports[0])))


def _another(original: Json, number: int, **values: Any) -> Json:
    """Make a report beside that one, `number` days later."""
    digest = hashlib.sha256(f"{original['reportId']}{number}".encode()).hexdigest()[:32]
    at = datetime(2026, 7, 1, 9, 30, tzinfo=UTC) + timedelta(days=number)
    return {
        **original,
        "reportId": f"rep_{digest}",
        "createdAt": instant(at),
        "signedAt": instant(at),
        "updatedAt": instant(at),
        **values,
    }


def _addendum(original: Json, number: int) -> Json:
    return _another(original, number, isAddendum=True, reportPlainText=f"Addendum {number}: compared with prior.")


def two_addenda(wire: Wire) -> Wire:
    """Make an original with two signed addenda."""
    original = {**wire.reports[0], "isAddendum": False}
    return _reports(wire, (original, _addendum(original, 1), _addendum(original, 2)))


def addendum_alone(wire: Wire) -> Wire:
    """Make a signed addendum without any original."""
    return _reports(wire, ({**wire.reports[0], "isAddendum": True},))


def addendum_of_two(wire: Wire) -> Wire:
    """Make a signed addendum with two possible originals."""
    original = {**wire.reports[0], "isAddendum": False}
    return _reports(wire, (original, _another(original, 3), _addendum(original, 4)))


def addendum_open(wire: Wire) -> Wire:
    """Make an original with an unsigned addendum."""
    original = {**wire.reports[0], "isAddendum": False}
    return _reports(wire, (original, {**_addendum(original, 5), "status": "in_progress", "signedAt": None}))


def mrn_at_two_facilities(wire: Wire) -> Wire:
    """Make two originals whose snapshots have one MRN at two facilities."""
    here, there = (one.name for one in KNOWN[:2])
    one = {**wire.reports[0], "isAddendum": False}
    first = {**one, "snapshotMetadata": {**one["snapshotMetadata"], "mrn": "0042", "facilityName": here}}
    second = _another(first, 6, snapshotMetadata={**first["snapshotMetadata"], "facilityName": there})
    return _reports(wire, (first, second))


def only_reports_known(wire: Wire) -> Wire:
    """Keep only `GET /reports`."""
    return replace(wire, study=None, users=())


_MEGABYTE: Final = "FINDINGS:\n" + "No abnormality in this line of the report.\n" * 24_000 + "IMPRESSION: Normal.\n"
_CONTROLS: Final = "FINDINGS: a\x00b\x07c\x1bd\x7fe\x0bf\x0cg\x85h\u2028i\ufffej\nIMPRESSION: \x1f\x08k"
_INLINE: Final = "EXAM: CT. FINDINGS: The liver is normal. IMPRESSION: No acute disease. RECOMMENDATION: none."
_CANCELLED: Final = "2026-06-01T08:00:00Z"

PITFALLS: Final[dict[str, Change]] = {
    "name DOE^JANE": snapshot(patientName="DOE^JANE"),
    "name Doe, Jane": snapshot(patientName="Doe, Jane"),
    "name Jane Doe": snapshot(patientName="Jane Doe"),
    "name Jane": snapshot(patientName="Jane"),
    "name with particle and suffix": snapshot(patientName="Mary Jane van der Berg Jr."),
    "name CJK": snapshot(patientName="\u6e2c\u8a66 \u6a23\u672c"),
    "name O'Neil": snapshot(patientName="Sean O'Neil"),
    "name with |": snapshot(patientName="Doe|Jane"),
    "name with &": snapshot(patientName="Doe & Sons <Jane>"),
    "name absent": snapshot(patientName=ABSENT),
    "sex other": snapshot(sex="other"),
    "sex absent": snapshot(sex=ABSENT),
    "sex an unknown code": snapshot(sex="X"),
    "date of birth absent": snapshot(dateOfBirth=ABSENT),
    "date of birth invalid": snapshot(dateOfBirth="7321-69-10"),
    "date of birth in the future": snapshot(dateOfBirth="2999-01-01"),
    "MRN absent": snapshot(mrn=ABSENT),
    "MRN with leading zeros": snapshot(mrn="000123"),
    "MRN a placeholder": snapshot(mrn="UNKNOWN"),
    "MRN at two facilities": mrn_at_two_facilities,
    "snapshot {}": snapshot(**dict.fromkeys(SNAPSHOT, ABSENT)),
    "study time without zone": snapshot(facilityName="Unheard-of Clinic", studyDate="2026-02-03", studyTime="14:30"),
    "study time in a DST gap": snapshot(facilityName=IN_NEW_YORK, studyDate="2026-03-08", studyTime="02:30"),
    "study time twice in autumn": snapshot(facilityName=IN_NEW_YORK, studyDate="2025-11-02", studyTime="01:30"),
    "study date absent": snapshot(studyDate=ABSENT),
    "study date invalid": snapshot(studyDate="2026-02-30"),
    "signedAt null": report(signedAt=None),
    "signedAt null, no study date": lambda wire: report(signedAt=None)(snapshot(studyDate=ABSENT)(wire)),
    "updatedAt null": report(updatedAt=None),
    "isCritical null": report(isCritical=None),
    "isCritical true": report(isCritical=True),
    "procedure empty": snapshot(procedure=""),
    "headings inline": report(reportPlainText=_INLINE),
    "text absent": report(reportPlainText=ABSENT),
    "text blank": report(reportPlainText=" \r\n\t"),
    "text with CR LF": report(reportPlainText="FINDINGS:\r\nLungs clear.\r\n\r\nIMPRESSION:\rNormal.\r\n"),
    "text with control characters": report(reportPlainText=_CONTROLS),
    "text with markup": report(reportPlainText="FINDINGS: <script>alert(1)</script> & a < b ]]>\nIMPRESSION: &lt;"),
    "text of 1 MB": report(reportPlainText=_MEGABYTE),
    "height 0": snapshot(height={"unit": "cm", "value": 0}),
    "height in inches": snapshot(height={"unit": "in", "value": 65.5}),
    "weight in lbs": snapshot(weight={"unit": "lbs", "value": 154}),
    "modality free text": study(modality="Fluoro / C-Arm"),
    "two addenda": two_addenda,
    "addendum without parent": addendum_alone,
    "addendum of two originals": addendum_of_two,
    "addendum not signed yet": addendum_open,
    "report not signed yet": report(status="in_progress", signedAt=None),
    "study cancelled after signing": study(isCancelled=True, cancelledAt=_CANCELLED),
    "study cancelled, then uncancelled": study(isCancelled=False, cancelledAt=_CANCELLED),
    "severity stat, no indication": study(severity="stat", clinicalIndication=None),
    "several accession numbers": study(metadata={"accession": "A-1,A-2", "placer": "P-1,P-2"}),
    "user not found": lambda wire: replace(wire, users=()),
    "only reports known": only_reports_known,
    "study UID that is none": uid("CT-2026/0042"),
    "study UID with a leading zero": uid("1.2.840.0042"),
    "report corrected": facts(lambda one: {"corrected": frozenset({one["reportId"]})}),
    "accession from the PACS": facts(lambda one: {"accession_number": "ACC 1"}),
    "PDF seen": facts(lambda one: {"pdf": {one["reportId"]: PdfFacts(1000, b"\x01" * 20)}}),
    "PDF of 0 bytes": facts(lambda one: {"pdf": {one["reportId"]: PdfFacts(0, hashlib.sha1(b"").digest())}}),
}
# Never combined with others: a text that is slow to validate, and pitfalls that remove what others change
ALONE: Final = ("text of 1 MB", "only reports known")


def occurs(name: str, wire: Wire) -> bool:
    """True if a study has a pitfall: adding it changes nothing."""
    return PITFALLS[name](wire) == wire


def signed_studies(seed: int) -> Iterator[Wire]:
    """Yield studies of AutoScribe whose first report is signed."""
    for known, response, users in documents(generate(seed, studies=2000)):
        first = next(iter(response["reports"]), {"status": ""})
        if first["status"] == "completed" and known["studyType"] != "external":
            yield Wire(known, response, users)


def generated(seed: int = 7, count: int = 10 * len(PITFALLS)) -> Iterator[Wire]:
    """Yield that many studies: each with a pitfall, in turn, after up to two random ones."""
    others = [name for name in PITFALLS if name not in ALONE]
    for number, wire in enumerate(islice(signed_studies(seed), count)):
        chance = random.Random(f"{seed}/{number}")
        turn = list(PITFALLS)[number % len(PITFALLS)]
        before = [] if turn in ALONE else chance.sample(others, chance.randrange(3))
        yield reduce(lambda made, name: PITFALLS[name](made), (*before, turn), wire)
