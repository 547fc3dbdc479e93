r"""Made-up study in which no field is empty, in each state of a study's life, to test a receiver's profile.

HL7 v2.5.1 §2.16 (message profiles), decisions D16-D22. Its values are as awkward as valid ones get: delimiters, lines
of 200 characters, letters beyond ASCII, several orders.
Proved by tests/mappings/hl7v2/test_contradictions.py and tests/mappings/hl7v2/test_receivers.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from mappings.hl7v2.messages import messages
from mappings.hl7v2.oru_r01 import to_oru
from mappings.model import Cause, Facts, Measurement, PdfFacts, Report, Snapshot, Study, User
from mappings.profile import AssigningAuthority, Directory, Facility, Provider, Receiver, Site
from mappings.profile.vista import Vista
from mappings.sections import cut

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
