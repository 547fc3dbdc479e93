"""Reachability of AutoScribe: the result of the last request to it."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.fhir_api.ops.reachability import Reachability
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics


def test_nothing_is_known_before_autoscribe_was_asked():
    reachability = Reachability(Metrics())
    assert (reachability.is_reachable, reachability.at) == (None, None)


def test_an_answer_of_any_status_is_an_answer_and_none_is_none(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 25, tzinfo=UTC))
    reachability = Reachability(Metrics())
    reachability("GET /studies", 500, 0.1)
    assert reachability.is_reachable is True
    reachability("GET /studies", None, 5.0)
    assert (reachability.is_reachable, reachability.at) == (False, datetime(2026, 11, 25, tzinfo=UTC))


def test_every_request_is_counted():
    metrics = Metrics()
    Reachability(metrics)("GET /studies", 200, 0.1)
    labels = {"operation": "GET /studies", "status": "200"}
    assert metrics.registry.get_sample_value("autoscribe_gateway_upstream_requests_total", labels) == 1
