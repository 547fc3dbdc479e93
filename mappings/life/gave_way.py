"""Compare a study's patients with those of its last ingest: whose number has given way to another one since. Pure.

HL7 v2.5.1 §3.3.40 (A40), §3.6.2.1 (merge), decision D48. Another spelling of the surviving number gives no way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mappings.model import Facts, Study
from mappings.patient.merged import of_other_numbers
from mappings.patient.subjects import subjects
from mappings.profile import Site


@dataclass(frozen=True, slots=True)
class GaveWay:
    """Reports of a study whose patient's number gave way, with the ids of the Patients replaced and of the survivors.

    A Patient is listed at the first ingest that knows of its merge, and at no later one; but anew once a doubt about
    the merge has passed.
    """

    report_ids: frozenset[str] = frozenset()
    patient_ids: frozenset[str] = frozenset()
    survivor_ids: frozenset[str] = frozenset()


NOBODY: Final = GaveWay()


def gave_way(before: Study, then: Facts, now: Study, facts: Facts, site: Site) -> GaveWay:
    """Return what gave way since the last ingest of a study, whose facts were `then`."""
    if not facts.merged:
        return NOBODY
    known = {
        one.patient_id
        for subject in subjects(before, before.reports, site, then).values()
        for one in subject.identity.replaced
    }
    about = subjects(now, now.reports, site, facts)
    new = {
        report.report_id: frozenset(one.patient_id for one in of_other_numbers(about[report.report_id].identity))
        - known
        for report in now.reports
    }
    reports = frozenset(report_id for report_id, gone in new.items() if gone)
    survivors = frozenset(about[one].identity.patient_id for one in reports)
    return GaveWay(reports, frozenset[str]().union(*new.values()), survivors)
