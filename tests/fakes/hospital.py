"""A site of two facilities, with orders, merges and studies for the tests of matching, changed by keywords."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from gateway.store.database.kept import compressed, encoded
from mappings.hospital.authorities import Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import Authority, CodedText, HospitalMessage, HospitalPatient, IssuedNumber, OrderEvent
from mappings.hospital.groups import NO_MERGES, Merges, ResolvedChange, indexed, merged
from mappings.hospital.known_order import KnownOrder, applied
from mappings.hospital.match import KnownHospital, Match, match, order_search
from mappings.model import Facts, Report, Snapshot, Study
from mappings.patient.subjects import subjects
from mappings.profile import Site, parse_site

SITE = parse_site("""
[mapping]
accession_keys = ["acc"]
placer_keys = ["order"]
number_separator = ","

[[mapping.facilities]]
name = "City"
name_order = "given_family"
mrn_system = "urn:oid:1.2.1"
mrn_namespace = "CITY"
accession_system = "urn:oid:1.2.2"
accession_namespace = "CITYRIS"
placer_system = "urn:oid:1.2.3"
placer_namespace = "CITYHIS"
filler_system = "urn:oid:1.2.4"
filler_namespace = "CITYFILL"

[[mapping.facilities]]
name = "Mercy"
name_order = "given_family"
mrn_system = "urn:oid:1.3.1"
mrn_namespace = "MERCY"
accession_system = "urn:oid:1.3.2"
accession_namespace = "MERCYRIS"
placer_system = "urn:oid:1.3.3"
placer_namespace = "MERCYHIS"
""")
AUTHORITIES = Authorities(SITE)
CITY, MERCY = OrderSource("city-his", "City"), OrderSource("mercy-his", "Mercy")
UID = "1.2.840.1"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = "2026-05-20"
ORDERED = datetime(2026, 5, 19, 9, tzinfo=UTC)


def number(value: str, namespace: str = "", uid: str = "", type_code: str = "") -> IssuedNumber:
    return IssuedNumber(value, Authority(namespace, uid, "ISO" if uid else ""), type_code)


def numbered(value: str | IssuedNumber | None) -> IssuedNumber | None:
    return number(value) if isinstance(value, str) else value


def patient(mrn: str | IssuedNumber | None = "4711", **changes: Any) -> HospitalPatient:
    """Return Jane Doe as PID has her; an MRN without authority."""
    numbers = (numbered(mrn),) if mrn else ()
    return HospitalPatient(
        **{"numbers": numbers, "family": "DOE", "given": "JANE", "born": "19850720", "sex": "F"} | changes
    )


def event(effect: str = "open", control: str = "NW", status: str = "", **changes: Any) -> OrderEvent:
    given = {"placer": "P1", "filler": None, "accession": "A1"} | changes
    numbers = {key: numbered(given.pop(key)) for key in ("placer", "filler", "accession")}
    return OrderEvent(effect, control, status, **numbers, **given)  # type: ignore[arg-type]


def message(
    *orders: OrderEvent, at: datetime | None = ORDERED, about: HospitalPatient | None = None, **changes: Any
) -> HospitalMessage:
    given = {"structure": "ORM^O01", "trigger": "O01", "control_id": "1", "sender": ("HIS", "CITY")} | changes
    times: dict[str, Any] = {"times": (at,), "timed_by": ("MSH-7",)} if at else {"times": ()}
    return HospitalMessage(**times, patient=about or patient(), orders=orders, **given)


def order(
    *, source: OrderSource = CITY, at: datetime = ORDERED, about: HospitalPatient | None = None, **changes: Any
) -> KnownOrder:
    """Return an order of Jane Doe at City as one message makes it known."""
    one = event(**{"procedure": CodedText("CTHEAD", "CT Head")} | changes)
    known = applied(None, one, message(one, at=at, about=about), source, at).order
    assert known is not None
    return known


def snapshot(**changes: Any) -> Snapshot:
    given = {"facility_name": "City", "mrn": "4711", "patient_name": "Jane Doe", "date_of_birth": "1985-07-20"}
    return Snapshot(**given | {"sex": "female", "study_date": DAY} | changes)


def report(digit: str = "3", study_id: str = "stu_" + "1" * 32, **changes: Any) -> Report:
    about = changes.pop("snapshot", None) or snapshot()
    signed = "2026-05-21T08:00:00Z"
    given = {"status": "completed", "is_addendum": False, "is_critical": False, "signed_at": signed}
    given |= {"created_at": signed, "updated_at": signed, "snapshot": about, "text": "", "sections": ()}
    return Report(report_id="rep_" + digit * 32, study_id=study_id, user_id="usr_" + "2" * 32, **given | changes)


def study(acc: str = "A1", placer: str = "", *reports: Report, **changes: Any) -> Study:
    """Return a signed study of Jane Doe at City; snapshot fields go to its report."""
    own = {key: changes.pop(key) for key in tuple(changes) if key in Snapshot.__slots__}
    metadata = {key: value for key, value in (("acc", acc), ("order", placer)) if value}
    given = {"study_id": "stu_" + "1" * 32, "metadata": metadata, "study_instance_uid": UID} | changes
    return Study(reports=reports or (report(snapshot=snapshot(**own)),), **given)


def matched(
    one: Study,
    *orders: KnownOrder,
    merges: Merges = NO_MERGES,
    site: Site = SITE,
    facts: Facts = Facts(),  # noqa: B008 (frozen)
    told: Iterable[str] = (),
    at: datetime = NOW,
) -> Match:
    """Match a study with these orders."""
    authorities = AUTHORITIES if site is SITE else Authorities(site)
    own = next(iter(subjects(one, one.reports, site, facts).values()))
    search = order_search(one, own, authorities, facts, frozenset(told))
    return match(search, KnownHospital(indexed(orders, authorities), authorities, merges), at)


def mrn(value: str, system: str = "urn:oid:1.2.1") -> HospitalNumber:
    return HospitalNumber("patient", system, "MR", value)


def merges_of(*pairs: tuple[str, str]) -> Merges:
    """Merges of patient numbers of City, each old number with the surviving one."""
    return merged([ResolvedChange(mrn(old), mrn(new)) for old, new in pairs])


def an_order() -> bytes:
    """Return an order of a patient who is not known, as it is stored."""
    return compressed("order", encoded(order(about=HospitalPatient())))
