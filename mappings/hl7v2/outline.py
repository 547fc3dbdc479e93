"""What a message stands for, without its bytes: under which numbers, of which reports, about whom.

HL7 v2.5.1 §4.5.3.3 (OBR-3 Filler Order Number), §3.4.2.3 (PID-3); decisions D13, D18, D32.
"""

from __future__ import annotations

from dataclasses import dataclass

from mappings.hl7v2.rendering import Rendering, rendering
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Study
from mappings.profile import Receiver, Site


@dataclass(frozen=True, slots=True)
class Outline:
    """A message in outline.

    `restates`: where `is_whole`, whatever was to be sent under the same and was not is said again by it.
    `filler_order_numbers` are EI.1 of OBR-3 in each order, `report_ids` the reports whose text it has, `patient_id` the
    id of the FHIR Patient that PID speaks of.
    """

    restates: str
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    is_whole: bool


def outline(study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts) -> Outline | MappingIssue:
    """The outline of the message that a cause asks for, or why there is none."""
    made = rendering(study, cause, site, receiver, facts)
    return made if isinstance(made, MappingIssue) else outline_of(made, cause)


def outline_of(made: Rendering, cause: Cause) -> Outline:
    """The outline of the message that says a rendering, for its cause."""
    place = made.place
    return Outline(
        restates=f"{place.number}/{cause.accession_number}",
        filler_order_numbers=place.filler_order_numbers,
        report_ids=tuple(report.report_id for report in made.subject.reports),
        patient_id=made.subject.identity.patient_id,
        is_whole=made.is_whole,
    )
