"""List the order numbers, reports and patient of a message without writing the message, to compare with earlier ones.

HL7 v2.5.1 §4.5.3.3 (OBR-3 Filler Order Number), §3.4.2.3 (PID-3); decisions D13, D18, D32.
Proved by tests/gateway/feed/compose/test_withdraw_moved.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mappings.hl7v2.rendering import Rendering, rendering
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Study
from mappings.patient.merged import of_other_numbers
from mappings.profile import Receiver, Site


@dataclass(frozen=True, slots=True)
class Outline:
    """Outline of a message.

    `restates`: supersession key. A whole message (`is_whole`) replaces unsent messages with the same key.
    `filler_order_numbers` are EI.1 of OBR-3 in each order, `report_ids` the reports with text in it, `patient_id` the
    id of the FHIR Patient in PID, and `replaced` those that this one replaces since a merge: the same patient (D48).
    `respelled` are those of them whose number is only another spelling.
    """

    restates: str
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    is_whole: bool
    replaced: tuple[str, ...] = ()
    respelled: tuple[str, ...] = ()

    def is_about(self, patient_id: str) -> bool:
        """True for the id of its patient, at present or before a merge."""
        return patient_id == self.patient_id or patient_id in self.replaced

    def apart(self) -> Outline:
        """Return the outline for a receiver that follows no merge: to it, another number is another patient."""
        return replace(self, replaced=self.respelled)


def outline(study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts) -> Outline | MappingIssue:
    """Return the outline of a cause's message, or the reason that there is none."""
    made = rendering(study, cause, site, receiver, facts)
    return made if isinstance(made, MappingIssue) else outline_of(made, cause)


def outline_of(made: Rendering, cause: Cause) -> Outline:
    """Return the outline of a rendering's message, for its cause."""
    place, identity = made.place, made.subject.identity
    others = of_other_numbers(identity)
    return Outline(
        restates=f"{place.number}/{cause.accession_number}",
        filler_order_numbers=place.filler_order_numbers,
        report_ids=tuple(report.report_id for report in made.subject.reports),
        patient_id=identity.patient_id,
        is_whole=made.is_whole,
        replaced=tuple([one.patient_id for one in identity.replaced]),
        respelled=tuple([one.patient_id for one in identity.replaced if one not in others]),
    )
