"""Record metrics of each ingested study: resource versions, mapping issues, and delay from signature to queue.

Carries out no clause of a standard; decision D26: without webhooks, a signature on a study known to be open is queued
within 60 seconds.
"""

from __future__ import annotations

from collections import Counter

from gateway.ingest import Ingested
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from mappings.values.dates import parse_instant


def note(ingested: Ingested, metrics: Metrics) -> None:
    """Count the result of one ingest."""
    kinds = Counter(version.address.partition("/")[0] for version in ingested.written)
    for kind, count in kinds.items():
        metrics.wrote_versions(kind, count)
    for version in ingested.written:
        if version.is_suppressed:
            metrics.suppressed(version.address.partition("/")[0])
    if ingested.change is None:
        return
    metrics.stored(ingested.seconds)
    for issue in ingested.issues:
        metrics.found_issue(issue.severity)
    for _ in range(ingested.held_apart):
        metrics.found_conflict()
    signed = {report.report_id: report.signed_at for report in ingested.study.reports}
    for cause in ingested.change.causes:
        at = parse_instant(signed.get(cause.report_id))
        if cause.is_signature and ingested.was_known and at is not None:
            metrics.queued(max(0.0, (clock.now() - at).total_seconds()))
