"""Reports of a study, grouped by patient."""

from __future__ import annotations

from mappings.model import Report, Study
from mappings.patient.subjects import subjects
from mappings.profile import Site


def patients(study: Study, site: Site) -> tuple[tuple[Report, ...], ...]:
    """Group the signed reports of a study by patient."""
    found = subjects(study, study.completed, site)
    return tuple(one.reports for one in dict.fromkeys(found.values()) if one.reports)
