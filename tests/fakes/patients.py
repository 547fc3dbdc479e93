"""The reports of a study by who they are about."""

from __future__ import annotations

from mappings.model import Report, Study
from mappings.profile import Site
from mappings.subjects import subjects


def patients(study: Study, site: Site) -> tuple[tuple[Report, ...], ...]:
    """The signed reports of each patient of a study."""
    found = subjects(study, study.completed, site)
    return tuple(one.reports for one in dict.fromkeys(found.values()) if one.reports)
