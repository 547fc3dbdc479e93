"""Prometheus metrics of the service, declared in one table, and the ASGI layer that measures HTTP requests.

https://prometheus.io/docs/instrumenting/exposition_formats/ (text format),
https://prometheus.io/docs/practices/naming/. A label is a template, a method, a code, a type or the name of a loop:
never an id, never text from a client (D9).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.runtime import clock
from gateway.runtime.log import reason_code

ROUTE: Final = "gateway.route"  # scope key: the template of the route, which the request's handler sets
REFUSED: Final = "refused"  # route of all requests that ask for what is not offered: a stranger makes no new series
_REFUSALS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.METHOD_NOT_ALLOWED)
PREFIX: Final = "autoscribe_gateway_"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SLOW: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_WAY: Final = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 86400.0)
_LAG: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 600.0, 3600.0, 86400.0)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a series for each other one, which nobody asks for


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric: its name without the prefix, its labels, its meaning, and a histogram's `buckets` in seconds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


METRICS: Final = (
    MetricRow(
        "http_requests_total",
        "counter",
        ("route", "method", "status"),
        "Requests answered; status 499: the client left before. Route refused: without a good token, or with a method "
        "that the address does not have; none: no such address.",
    ),
    MetricRow("http_request_duration_seconds", "histogram", ("route",), "Time until an answer was sent.", _FAST),
    MetricRow(
        "http_connections_refused_total",
        "counter",
        ("reason",),
        "HTTP connections closed at a limit: head-too-large, head-too-slow, body-too-slow, not-http, not-read, crowded,"
        " tls-failed.",
    ),
    MetricRow(
        "http_certificate_expires_timestamp_seconds",
        "gauge",
        (),
        "When the certificate of the HTTP server expires, Unix time; NaN without TLS.",
    ),
    MetricRow(
        "upstream_requests_total", "counter", ("operation", "status"), "Requests to AutoScribe; status none: broken."
    ),
    MetricRow(
        "upstream_request_duration_seconds", "histogram", ("operation",), "Time AutoScribe took to answer.", _SLOW
    ),
    MetricRow("upstream_throttled_seconds_total", "counter", (), "Time for which AutoScribe asked for no request."),
    MetricRow("ingests_total", "counter", ("trigger", "outcome"), "Studies ingested, by trigger and outcome."),
    MetricRow("resource_versions_total", "counter", ("resource_type",), "Versions of resources written."),
    MetricRow(
        "suppressed_resources_total",
        "counter",
        ("resource_type",),
        "Resources that the validator rejected: not served.",
    ),
    MetricRow("mapping_issues_total", "counter", ("severity",), "Issues of mappings stored."),
    MetricRow("identity_conflicts_total", "counter", (), "Reports whose patient contradicts an earlier one."),
    MetricRow(
        "missing_studies", "gauge", (), "Studies with signed reports that the last sweep did not list; NaN before."
    ),
    MetricRow("index_age_seconds", "gauge", (), "Time since the last whole sweep began; NaN before its end."),
    MetricRow(
        "loop_last_finished_timestamp_seconds", "gauge", ("loop",), "When the loop last finished a round, Unix time."
    ),
    MetricRow("loop_last_duration_seconds", "gauge", ("loop",), "Duration of the loop's last finished round."),
    MetricRow("loop_last_studies", "gauge", ("loop",), "Studies seen in the loop's last finished round."),
    MetricRow("loop_failures_total", "counter", ("loop",), "Rounds of a loop that failed; it goes on."),
    MetricRow("signature_to_queued_seconds", "histogram", (), "From a report's signature to its queued message.", _LAG),
    MetricRow("webhooks_total", "counter", ("kind", "outcome"), "Webhooks received; kind none: refused or not read."),
    MetricRow("webhook_work_total", "counter", ("outcome",), "Recorded webhooks processed: done, again, given_up."),
    MetricRow("pdf_work_total", "counter", ("outcome",), "PDFs fetched: kept, again, unavailable, overtaken."),
    MetricRow(
        "changed_pdfs_total", "counter", (), "PDFs with other bytes than before, of reports whose text is the same."
    ),
    MetricRow("feed_messages_total", "counter", ("destination", "state", "reason"), "Results of sent messages."),
    MetricRow(
        "feed_late_acks_total",
        "counter",
        ("destination", "outcome"),
        "Late or unmatched acknowledgements: accepted, refused, repeated, unmatched, too_early, unreadable; and"
        " connections to ack_listen: turned_away.",
    ),
    MetricRow(
        "feed_remarks_total", "counter", ("destination", "code"), "Warnings about messages made, such as pdf-absent."
    ),
    MetricRow("feed_seconds", "histogram", ("destination",), "From signature to ACK of a result.", _WAY),
    MetricRow(
        "feed_critical_seconds", "histogram", ("destination",), "From signature to ACK of a critical result.", _LAG
    ),
    MetricRow(
        "feed_open_reports",
        "gauge",
        ("destination", "fate"),
        "Signed reports that are open at a destination, by fate, as in its certificate. One process of several has it.",
    ),
    MetricRow("feed_queue", "gauge", ("destination",), "Messages that are not settled, and reports to be composed."),
    MetricRow("feed_oldest_seconds", "gauge", ("destination",), "Age of the oldest message that is not settled, or 0."),
    MetricRow("feed_held", "gauge", ("destination",), "Held studies, and reports of which no message is composed."),
    MetricRow("feed_dead_letters", "gauge", ("destination",), "Messages given up that no newer message replaces."),
    MetricRow(
        "feed_last_ack_timestamp_seconds",
        "gauge",
        ("destination",),
        "When the newest delivered message was acknowledged, Unix time; absent before the first.",
    ),
    MetricRow(
        "certificate_days_left",
        "gauge",
        ("kind", "name", "destination"),
        "Days until a certificate ends; NaN: not readable. Kind peer: name is host:port; own, authority: the setting.",
    ),
    MetricRow(
        "feed_read_back_total",
        "counter",
        ("destination", "outcome"),
        "Times that a report was looked up in the EHR, by the fate found; ehr-unavailable: no usable answer.",
    ),
    MetricRow("feed_breaker_open", "gauge", ("destination",), "1 while the circuit breaker of a destination is open."),
    MetricRow(
        "feed_alert", "gauge", ("code", "destination"), "Conditions of the feed that hold, with their extent; 0: over."
    ),
    MetricRow(
        "orders_received_total",
        "counter",
        ("source", "outcome"),
        "Messages of hospitals: stored, duplicate; acknowledged or refused and not stored: not-listed, not-radiology,"
        " wrong-processing-id, other-sender, unreadable, acknowledgement; frames that are broken; connections"
        " turned_away.",
    ),
    MetricRow(
        "orders_answer_seconds", "histogram", (), "Time until a hospital's message was stored and answered.", _FAST
    ),
    MetricRow(
        "orders_settled_total",
        "counter",
        ("source", "state"),
        "Messages of hospitals that were settled: applied, nothing, held, failed.",
    ),
    MetricRow(
        "orders_noted_total",
        "counter",
        ("source", "code"),
        "Messages of hospitals that were settled with a note, by its code: docs/orders.md, What is taken.",
    ),
    MetricRow("orders_waiting", "gauge", ("source",), "Messages of hospitals that are stored and not applied yet."),
    MetricRow("orders_unmatched", "gauge", (), "Studies without a match among a hospital's orders; NaN: not counted."),
    MetricRow(
        "orders_deleted_total",
        "counter",
        ("kind",),
        "Rows deleted after their time: message, body, order, visit.",
    ),
    MetricRow(
        "audit_writable", "gauge", (), "1 while the audit journal takes entries; 0: no data is shown; NaN: no audit."
    ),
    MetricRow("store_write_duration_seconds", "histogram", (), "Time a write waited for its commit.", _FAST),
    MetricRow("log_lines_dropped_total", "counter", (), "Lines of the log that could not be written."),
)

# Old name -> new name, both without prefix: for one release a metric also has its old name (D47)
RENAMED_METRICS: Final[dict[str, str]] = {}


def metric_rows() -> list[tuple[str, str, str, str]]:
    """Return name, kind, labels and meaning of every metric, old names last, for the documents."""
    by_name = {row.name: row for row in METRICS}
    old = [(name, by_name[new], _deprecated(new)) for name, new in RENAMED_METRICS.items()]
    named = [*((row.name, row, row.meaning) for row in METRICS), *old]
    return [(f"{PREFIX}{name}", row.kind, ", ".join(row.labels), meaning) for name, row, meaning in named]


class Metrics:
    """Metrics of one application, in a registry of its own, with a method for each event that is counted.

    All times in seconds. Label values are fixed words of the code; nothing else may be given.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters = {row.name: _counter(row, self.registry) for row in METRICS if row.kind == "counter"}
        self._gauges = {row.name: _gauge(row, self.registry) for row in METRICS if row.kind == "gauge"}
        self._histograms = {row.name: _histogram(row, self.registry) for row in METRICS if row.kind == "histogram"}
        metrics = {**self._counters, **self._gauges, **self._histograms}
        for old, new in RENAMED_METRICS.items():
            self.registry.register(_OldMetric(old, new, metrics[new]))
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._gauges["http_certificate_expires_timestamp_seconds"].set(math.nan)
        self._gauges["missing_studies"].set(math.nan)
        self._gauges["index_age_seconds"].set(math.nan)
        self._gauges["audit_writable"].set(math.nan)
        self._gauges["orders_unmatched"].set(math.nan)

    def refused_connection(self, reason: str) -> None:
        """Count a connection that was closed at a limit."""
        self._counters["http_connections_refused_total"].labels(reason).inc()

    def certificate_expires(self, at: datetime) -> None:
        """Note when the certificate of the HTTP server expires."""
        self._gauges["http_certificate_expires_timestamp_seconds"].set(at.timestamp())

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is the template. A method that no route has counts as `other`."""
        key = (route, method if method in _METHODS else "other", status)
        kept = self._answered.get(key)
        if kept is None:
            counter = self._counters["http_requests_total"].labels(*key)
            kept = counter, self._histograms["http_request_duration_seconds"].labels(route)
            self._answered[key] = kept
        kept[0].inc()
        kept[1].observe(seconds)

    def asked_upstream(self, operation: str, status: int | None, seconds: float) -> None:
        """Count a request to AutoScribe; `operation` is a template (`GET /studies/{studyId}`); None: no answer."""
        self._counters["upstream_requests_total"].labels(operation, status or "none").inc()
        self._histograms["upstream_request_duration_seconds"].labels(operation).observe(seconds)

    def throttled(self, seconds: float) -> None:
        """Add a time for which AutoScribe asked for no request."""
        self._counters["upstream_throttled_seconds_total"].inc(seconds)

    def ingested(self, trigger: str, outcome: str) -> None:
        """Count an ingest: `trigger` such as crawl, webhook, read_through; `outcome` is a code."""
        self._counters["ingests_total"].labels(trigger, outcome).inc()

    def wrote_versions(self, resource_type: str, count: int = 1) -> None:
        """Count written versions of resources."""
        self._counters["resource_versions_total"].labels(resource_type).inc(count)

    def suppressed(self, resource_type: str) -> None:
        """Count a resource that the validator rejected (D2)."""
        self._counters["suppressed_resources_total"].labels(resource_type).inc()

    def found_issue(self, severity: str) -> None:
        """Count a stored mapping issue (D4)."""
        self._counters["mapping_issues_total"].labels(severity).inc()

    def found_conflict(self) -> None:
        """Count a report whose patient contradicts an earlier one (D12)."""
        self._counters["identity_conflicts_total"].inc()

    def missing(self, count: int) -> None:
        """Set the number of studies with signed reports that the last whole sweep did not list (D21)."""
        self._gauges["missing_studies"].set(count)

    def watch_index_age(self, age: Callable[[], float | None]) -> None:
        """Call `age` whenever the metrics are read; it must not raise or block."""
        self._gauges["index_age_seconds"].set_function(lambda: math.nan if (seconds := age()) is None else seconds)

    def watch_audit(self, is_open: Callable[[], bool]) -> None:
        """Call `is_open` whenever the metrics are read; it must not raise or block."""
        self._gauges["audit_writable"].set_function(lambda: float(is_open()))

    def finished_round(self, loop: str, at: datetime, seconds: float, studies: int) -> None:
        """Record a finished round of a loop (sweep, open_set, cancelled …)."""
        self._gauges["loop_last_finished_timestamp_seconds"].labels(loop).set(at.timestamp())
        self._gauges["loop_last_duration_seconds"].labels(loop).set(seconds)
        self._gauges["loop_last_studies"].labels(loop).set(studies)

    def failed_round(self, loop: str) -> None:
        """Count a failed round of a loop."""
        self._counters["loop_failures_total"].labels(loop).inc()

    def queued(self, seconds: float) -> None:
        """Record the time from a report's signature to its queued message (D26)."""
        self._histograms["signature_to_queued_seconds"].observe(seconds)

    def received_webhook(self, kind: str, outcome: str) -> None:
        """Count an answered webhook; `kind` is one of the contract's, else other, or none."""
        self._counters["webhooks_total"].labels(kind, outcome).inc()

    def worked_webhook(self, outcome: Literal["done", "again", "given_up"]) -> None:
        """Count a recorded webhook that was processed, or will be tried again."""
        self._counters["webhook_work_total"].labels(outcome).inc()

    def worked_pdf(self, outcome: Literal["kept", "again", "unavailable", "overtaken"]) -> None:
        """Count a PDF that was fetched and stored, or not."""
        self._counters["pdf_work_total"].labels(outcome).inc()

    def changed_pdf(self) -> None:
        """Count a PDF whose bytes changed although its report's text did not."""
        self._counters["changed_pdfs_total"].inc()

    def fed(self, destination: str, state: str, reason: str) -> None:
        """Count the result of a sent message; `reason` is a code, and a receiver's own code counts as `other`."""
        self._counters["feed_messages_total"].labels(destination, state, reason_code(reason)).inc()

    def heard_late(self, destination: str, outcome: str) -> None:
        """Count an acknowledgement that answers no message in hand; `outcome` as listed in the metric's meaning."""
        self._counters["feed_late_acks_total"].labels(destination, outcome).inc()

    def remarked(self, destination: str, code: str, count: int) -> None:
        """Count messages made with a warning: a code of the mapping, or `rule-` and the rule's name."""
        self._counters["feed_remarks_total"].labels(destination, code).inc(count)

    def acknowledged(self, destination: str, seconds: float, *, is_critical: bool) -> None:
        """Record the time from a result's signature until the receiver's application accepted it (D32)."""
        self._histograms["feed_seconds"].labels(destination).observe(seconds)
        if is_critical:
            self._histograms["feed_critical_seconds"].labels(destination).observe(seconds)

    def delivered(self) -> dict[tuple[str, float], int]:
        """Count the delivered messages since the start, by destination and seconds from signature to ACK.

        The seconds are the upper bound of the histogram's bucket, infinite beyond the last one. At 0 stands the number
        of all delivered messages, also of those without a signature or an application's ACK.
        """
        found: dict[tuple[str, float], int] = {}
        for sample in _samples(self._counters["feed_messages_total"], "_total"):
            if sample.labels["state"] == "delivered":
                key = (sample.labels["destination"], 0.0)
                found[key] = found.get(key, 0) + int(sample.value)
        lower: dict[str, int] = {}
        for sample in _samples(self._histograms["feed_seconds"], "_bucket"):
            name, bound = sample.labels["destination"], float(sample.labels["le"])
            key = (name, bound)
            found[key] = int(sample.value) - lower.get(name, 0)  # the samples of a histogram are cumulative, in order
            lower[name] = int(sample.value)
        return {key: count for key, count in found.items() if count}

    def alerted(self, code: str, destination: str, count: int) -> None:
        """Set the extent of a condition at a destination; 0 if it is over."""
        self._gauges["feed_alert"].labels(code, destination).set(count)

    def stands(self, name: str, figures: Mapping[tuple[str, ...], float]) -> None:
        """Set all series of a gauge, by their labels; there are no others."""
        self._gauges[name].clear()
        for labels, value in figures.items():
            (self._gauges[name].labels(*labels) if labels else self._gauges[name]).set(value)

    def read_back(self, destination: str, outcome: str) -> None:
        """Count a look at the EHR; `outcome` as listed in the metric's meaning."""
        self._counters["feed_read_back_total"].labels(destination, outcome).inc()

    def broke(self, destination: str, *, is_open: bool) -> None:
        """Set whether the circuit breaker of a destination is open (D32)."""
        self._gauges["feed_breaker_open"].labels(destination).set(int(is_open))

    def heard_order(self, source: str, outcome: str) -> None:
        """Count a message of a hospital; `outcome` as listed in the metric's meaning."""
        self._counters["orders_received_total"].labels(source, outcome).inc()

    def answered_order(self, seconds: float) -> None:
        """Record the time until a hospital's message was stored and answered."""
        self._histograms["orders_answer_seconds"].observe(seconds)

    def settled_order(self, source: str, state: str, code: str = "") -> None:
        """Count a message of a hospital that was settled; `code` is what was noted of it, if anything."""
        self._counters["orders_settled_total"].labels(source, state).inc()
        if code:
            self._counters["orders_noted_total"].labels(source, code).inc()

    def waiting_orders(self, source: str, count: int) -> None:
        """Set the number of messages of a source that are not applied yet."""
        self._gauges["orders_waiting"].labels(source).set(count)

    def deleted_orders(self, kind: str, count: int) -> None:
        """Count rows of hospitals' messages, orders and visits that were deleted after their time."""
        self._counters["orders_deleted_total"].labels(kind).inc(count)

    def stored(self, seconds: float) -> None:
        """Record the time that a write waited for its commit."""
        self._histograms["store_write_duration_seconds"].observe(seconds)

    def dropped_log_line(self) -> None:
        """Count a log line that could not be written."""
        self._counters["log_lines_dropped_total"].inc()


class Measured:
    """ASGI layer that counts and times HTTP requests by the template of their route; `none` if no route matched."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. A request that ends without an answer counts as a 500."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begun = clock.monotonic()
        try:
            await self.app(scope, receive, watch)
        finally:
            route = REFUSED if status in _REFUSALS else scope.get(ROUTE, "none")
            self._metrics.answered(route, scope["method"], status, clock.monotonic() - begun)


def _samples(metric: Collector, ending: str) -> Iterator[Sample]:
    return (one for family in metric.collect() for one in family.samples if one.name.endswith(ending))


def _counter(row: MetricRow, registry: CollectorRegistry) -> Counter:
    return Counter(f"{PREFIX}{row.name}", row.meaning, row.labels, registry=registry)


def _gauge(row: MetricRow, registry: CollectorRegistry) -> Gauge:
    return Gauge(f"{PREFIX}{row.name}", row.meaning, row.labels, registry=registry)


def _histogram(row: MetricRow, registry: CollectorRegistry) -> Histogram:
    return Histogram(f"{PREFIX}{row.name}", row.meaning, row.labels, registry=registry, buckets=row.buckets)


class _OldMetric(Collector):
    """Metric under its old name, with the samples of the new one."""

    def __init__(self, old: str, new: str, metric: Collector) -> None:
        self._old, self._new, self._metric = old, new, metric

    def collect(self) -> Iterator[Metric]:
        """Yield the samples under the old name."""
        old, new = (f"{PREFIX}{one.removesuffix('_total')}" for one in (self._old, self._new))
        for family in self._metric.collect():
            made = Metric(old, _deprecated(self._new), family.type)
            made.samples = [one._replace(name=old + one.name.removeprefix(new)) for one in family.samples]
            yield made


def _deprecated(new: str) -> str:
    return f"Deprecated: use {PREFIX}{new}."
