"""Metrics count every event, under names and labels that hold no id."""

import math
import re
from datetime import UTC, datetime

import pytest
from fakes.inbox import sample
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.fhir_api.http import outcome
from gateway.runtime import clock
from gateway.runtime.metrics import METRICS, PREFIX, RENAMED_METRICS, ROUTE, Measured, Metrics, metric_rows


def everything(metrics):
    """Call each method once."""
    metrics.answered("/Patient/{id}", "GET", 200, 0.003)
    metrics.asked_upstream("GET /studies/{studyId}", 200, 0.2)
    metrics.asked_upstream("GET /studies/{studyId}", None, 5.0)
    metrics.throttled(2.5)
    metrics.ingested("webhook", "changed")
    metrics.wrote_versions("DiagnosticReport", 2)
    metrics.refused_connection("crowded")
    metrics.certificate_expires(datetime(2026, 1, 1, tzinfo=UTC))
    metrics.suppressed("Observation")
    metrics.found_issue("warning")
    metrics.found_conflict()
    metrics.read_back("ehr", "found")
    metrics.missing(3)
    metrics.watch_index_age(lambda: 12.5)
    metrics.finished_round("sweep", datetime(2026, 1, 1, tzinfo=UTC), 9.5, 1000)
    metrics.failed_round("open_set")
    metrics.queued(4.0)
    metrics.received_webhook("report.delivered", "recorded")
    metrics.worked_webhook("done")
    metrics.worked_pdf("kept")
    metrics.changed_pdf()
    metrics.fed("ehr", "held", "AE-207")
    metrics.heard_late("ehr", "unmatched")
    metrics.remarked("ehr", "pdf-absent", 2)
    metrics.acknowledged("ehr", 42.0, is_critical=True)
    metrics.alerted("lane-held", "ehr", 3)
    metrics.stands("feed_open_reports", {("ehr", "held"): 2})
    for name in ("feed_queue", "feed_oldest_seconds", "feed_held", "feed_dead_letters"):
        metrics.stands(name, {("ehr",): 2})
    metrics.stands("feed_last_ack_timestamp_seconds", {("ehr",): 1767225600})
    metrics.stands("certificate_days_left", {("peer", "ehr.example:2575", "ehr"): 12.5})
    metrics.stands("orders_unmatched", {(): 4})
    metrics.broke("ehr", is_open=True)
    metrics.stored(0.004)
    metrics.heard_order("his", "stored")
    metrics.answered_order(0.004)
    metrics.settled_order("his", "applied", "order-by-arrival")
    metrics.waiting_orders("his", 3)
    metrics.deleted_orders("visit", 2)
    metrics.dropped_log_line()


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("http_requests_total", {"route": "/Patient/{id}", "method": "GET", "status": "200"}, 1),
        ("http_request_duration_seconds_sum", {"route": "/Patient/{id}"}, 0.003),
        ("http_connections_refused_total", {"reason": "crowded"}, 1),
        ("http_certificate_expires_timestamp_seconds", {}, 1767225600),
        ("upstream_requests_total", {"operation": "GET /studies/{studyId}", "status": "200"}, 1),
        ("upstream_requests_total", {"operation": "GET /studies/{studyId}", "status": "none"}, 1),
        ("upstream_request_duration_seconds_count", {"operation": "GET /studies/{studyId}"}, 2),
        ("upstream_throttled_seconds_total", {}, 2.5),
        ("ingests_total", {"trigger": "webhook", "outcome": "changed"}, 1),
        ("resource_versions_total", {"resource_type": "DiagnosticReport"}, 2),
        ("suppressed_resources_total", {"resource_type": "Observation"}, 1),
        ("mapping_issues_total", {"severity": "warning"}, 1),
        ("identity_conflicts_total", {}, 1),
        ("missing_studies", {}, 3),
        ("index_age_seconds", {}, 12.5),
        ("loop_last_finished_timestamp_seconds", {"loop": "sweep"}, 1767225600),
        ("loop_last_duration_seconds", {"loop": "sweep"}, 9.5),
        ("loop_last_studies", {"loop": "sweep"}, 1000),
        ("loop_failures_total", {"loop": "open_set"}, 1),
        ("signature_to_queued_seconds_bucket", {"le": "5.0"}, 1),
        ("signature_to_queued_seconds_bucket", {"le": "2.0"}, 0),
        ("webhooks_total", {"kind": "report.delivered", "outcome": "recorded"}, 1),
        ("webhook_work_total", {"outcome": "done"}, 1),
        ("pdf_work_total", {"outcome": "kept"}, 1),
        ("changed_pdfs_total", {}, 1),
        ("feed_messages_total", {"destination": "ehr", "state": "held", "reason": "AE-207"}, 1),
        ("feed_late_acks_total", {"destination": "ehr", "outcome": "unmatched"}, 1),
        ("feed_remarks_total", {"destination": "ehr", "code": "pdf-absent"}, 2),
        ("feed_critical_seconds_bucket", {"destination": "ehr", "le": "45.0"}, 1),
        ("feed_critical_seconds_bucket", {"destination": "ehr", "le": "30.0"}, 0),
        ("feed_alert", {"code": "lane-held", "destination": "ehr"}, 3),
        ("feed_open_reports", {"destination": "ehr", "fate": "held"}, 2),
        ("feed_queue", {"destination": "ehr"}, 2),
        ("orders_unmatched", {}, 4),
        ("store_write_duration_seconds_count", {}, 1),
        ("orders_received_total", {"source": "his", "outcome": "stored"}, 1),
        ("orders_answer_seconds_count", {}, 1),
        ("orders_settled_total", {"source": "his", "state": "applied"}, 1),
        ("orders_waiting", {"source": "his"}, 3),
        ("orders_deleted_total", {"kind": "visit"}, 2),
        ("log_lines_dropped_total", {}, 1),
    ],
)
def test_what_happened_is_counted_under_its_name(name, labels, value):
    metrics = Metrics()
    everything(metrics)
    assert sample(metrics, name, **labels) == value


def test_every_declared_metric_has_a_method_that_moves_it_and_is_shown_to_prometheus():
    metrics = Metrics()
    before = generate_latest(metrics.registry).decode()
    everything(metrics)
    families = {one.name: one for one in text_string_to_metric_families(generate_latest(metrics.registry).decode())}
    unmoved = {one.name: one for one in text_string_to_metric_families(before)}
    for row in METRICS:
        name = PREFIX + row.name.removesuffix("_total")
        assert families[name].type == row.kind
        assert families[name].documentation == row.meaning
        assert [(one.name, one.value) for one in families[name].samples] != [
            (one.name, one.value) for one in unmoved[name].samples
        ]


def test_what_is_not_known_yet_is_said_to_be_no_number():
    metrics = Metrics()
    assert math.isnan(sample(metrics, "missing_studies"))
    assert math.isnan(sample(metrics, "index_age_seconds"))
    metrics.watch_index_age(lambda: None)
    assert math.isnan(sample(metrics, "index_age_seconds"))


def test_two_applications_in_one_process_have_metrics_of_their_own():
    one, other = Metrics(), Metrics()
    one.found_conflict()
    assert (sample(one, "identity_conflicts_total"), sample(other, "identity_conflicts_total")) == (1, 0)


def test_a_renamed_metric_is_shown_under_both_names_for_one_release(monkeypatch):
    monkeypatch.setitem(RENAMED_METRICS, "hooks_total", "webhooks_total")
    monkeypatch.setitem(RENAMED_METRICS, "critical_lag_seconds", "feed_critical_seconds")
    metrics = Metrics()
    metrics.received_webhook("report.delivered", "recorded")
    metrics.acknowledged("ehr", 3.0, is_critical=True)
    text = generate_latest(metrics.registry).decode()
    for sample_line in (
        'hooks_total{kind="report.delivered",outcome="recorded"} 1.0',
        'critical_lag_seconds_bucket{destination="ehr",le="5.0"} 1.0',
        'critical_lag_seconds_sum{destination="ehr"} 3.0',
    ):
        assert f"\n{PREFIX}{sample_line}\n" in text
        new = sample_line.replace("hooks", "webhooks").replace("critical_lag", "feed_critical")
        assert f"\n{PREFIX}{new}\n" in text
    assert f"# HELP {PREFIX}hooks_total Deprecated: use {PREFIX}webhooks_total.\n" in text
    assert (
        f"{PREFIX}hooks_total",
        "counter",
        "kind, outcome",
        f"Deprecated: use {PREFIX}webhooks_total.",
    ) in metric_rows()


def test_old_names_of_metrics_lead_to_metrics():
    assert set(RENAMED_METRICS.values()) <= {row.name for row in METRICS}
    assert not RENAMED_METRICS.keys() & {row.name for row in METRICS}


def test_names_and_meanings_are_fit_for_a_table():
    rows = metric_rows()
    assert len({row[0] for row in rows}) == len(rows) == len(METRICS)
    for name, kind, labels, meaning in rows:
        assert re.fullmatch(r"autoscribe_gateway_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert set(labels.split(", ")) <= {
            "",
            "route",
            "method",
            "status",
            "operation",
            "trigger",
            "outcome",
            "resource_type",
            "severity",
            "loop",
            "kind",
            "destination",
            "name",
            "fate",
            "state",
            "reason",
            "source",
            "code",
        }
        assert meaning.endswith(".")


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("", ""),
        ("AA", "AA"),
        ("AR-200", "AR-200"),
        ("CE", "CE"),
        ("ack-timeout", "ack-timeout"),
        ("rule-msh-6", "rule-msh-6"),
        ("AE-MRN 4711 UNKNOWN", "other"),
        ("AE-4711", "other"),
        ("AE-207\n", "other"),
        ("Smith^Jane", "other"),
    ],
)
def test_what_a_receiver_writes_as_it_likes_is_no_label(reason, label):
    metrics = Metrics()
    metrics.fed("ehr", "held", reason)
    assert sample(metrics, "feed_messages_total", destination="ehr", state="held", reason=label) == 1


def test_the_route_is_read_where_the_facade_writes_it():
    assert ROUTE == outcome.ROUTE


def answering(*messages, route="/Patient/{id}", error=None):
    async def app(scope, receive, send):
        if route:
            scope[ROUTE] = route
        for message in messages:
            await send(message)
        if error:
            raise error

    return app


START = {"type": "http.response.start", "status": 404, "headers": []}
BODY = {"type": "http.response.body", "body": b""}


async def call(app, method="GET", kind="http"):
    sent = []

    async def send(message):
        sent.append(message)

    await app({"type": kind, "method": method, "path": "/Patient/pat-1"}, None, send)
    return sent


async def test_a_request_is_counted_by_template_method_and_status_and_passed_on_unchanged():
    metrics = Metrics()
    assert await call(Measured(answering(START, BODY), metrics)) == [START, BODY]
    labels = {"route": "/Patient/{id}", "method": "GET"}
    assert sample(metrics, "http_requests_total", status="404", **labels) == 1
    assert sample(metrics, "http_request_duration_seconds_count", route="/Patient/{id}") == 1
    assert "pat-1" not in generate_latest(metrics.registry).decode()


async def test_a_request_without_a_route_and_a_method_of_the_clients_own_make_no_series_of_theirs():
    metrics = Metrics()
    for number in range(50):
        await call(Measured(answering(START, BODY, route=None), metrics), method=f"BREW{number}")
    assert sample(metrics, "http_requests_total", route="none", method="other", status="404") == 50


@pytest.mark.parametrize("status", [401, 405])
async def test_requests_that_ask_for_what_is_not_offered_share_one_route(status):
    metrics = Metrics()
    start = {"type": "http.response.start", "status": status, "headers": []}
    for route in ("/Patient/{id}", "/metadata", None):
        await call(Measured(answering(start, BODY, route=route), metrics))
    assert sample(metrics, "http_requests_total", route="refused", method="GET", status=str(status)) == 3
    assert generate_latest(metrics.registry).decode().count("http_request_duration_seconds_count{") == 1


def test_no_series_says_only_when_another_one_began():
    metrics = Metrics()
    everything(metrics)
    assert "_created" not in generate_latest(metrics.registry).decode()


async def test_a_failure_without_an_answer_is_a_500_and_is_not_swallowed():
    metrics = Metrics()
    with pytest.raises(LookupError):
        await call(Measured(answering(error=LookupError()), metrics))
    assert sample(metrics, "http_requests_total", route="/Patient/{id}", method="GET", status="500") == 1


async def test_what_is_no_request_is_not_counted():
    metrics = Metrics()
    await call(Measured(answering(START), metrics), kind="lifespan")
    assert sample(metrics, "http_requests_total", route="/Patient/{id}", method="GET", status="404") is None


async def test_measuring_takes_the_time_between_request_and_answer(monkeypatch):
    metrics, ticks = Metrics(), iter([10.0, 10.25])
    monkeypatch.setattr(clock, "monotonic", lambda: next(ticks))
    await call(Measured(answering(START, BODY), metrics))
    assert sample(metrics, "http_request_duration_seconds_sum", route="/Patient/{id}") == 0.25
