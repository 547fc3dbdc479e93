"""Studies as AutoScribe sends them, and the result of the site doctor's look at them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fakes.upstream_json import report_json, response_json, study_json

from gateway.checks.doctor.seen import Seen
from mappings.profile import Site

Said = tuple[dict[str, Any], dict[str, Any]]


def said(*snapshots: dict[str, Any], **study: Any) -> Said:
    """Make a study with a signed report for each snapshot, and its reports."""
    reports = [report_json(str(digit), snapshotMetadata=one) for digit, one in enumerate(snapshots, 1)]
    return study_json(**{"modality": "CT", "studyDescription": "", **study}), response_json(*reports)


def examined(studies: Iterable[Said], site: Site) -> Seen:
    """Examine these studies, and return the findings."""
    found = Seen()
    for study, reports in studies:
        found.look_at(study, reports, site)
    return found
