"""Reachability of AutoScribe: the result of the last request to it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.fhir_api.ops.health import Reachability
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


def trouble_after(monkeypatch, *asked):
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    reachability = Reachability(Metrics())
    for seconds, status in asked:
        now += seconds
        reachability("GET /studies", status, 0.1)
    return reachability.trouble


@pytest.mark.parametrize(
    ("asked", "trouble"),
    [
        ((), ""),
        (((0, 200), (90, None)), ""),
        (((0, None), (59, None)), ""),
        (((0, None), (60, None)), "autoscribe-unreachable"),
        (((0, 503), (60, None)), "autoscribe-unreachable"),
        (((0, None), (60, 429)), ""),
        (((0, 401), (60, 401)), "autoscribe-refuses"),
        (((0, 403), (30, 200), (30, 403)), ""),
        (((0, None), (60, 403)), "autoscribe-refuses"),
    ],
)
def test_it_is_trouble_if_no_request_had_a_usable_answer_for_a_minute(monkeypatch, asked, trouble):
    assert trouble_after(monkeypatch, *asked) == trouble
