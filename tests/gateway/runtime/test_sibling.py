"""Figures of two processes that one of them shows: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import time
from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest

from gateway.runtime.metrics import Metrics
from gateway.runtime.sibling import Figures, Sibling, Together, send


@pytest.fixture
def pair():
    """Yield the figures of a sibling, a function that sends new ones, and the metrics of this process."""
    here, there = multiprocessing.Pipe(duplex=False)
    return Sibling(here), there, Metrics()


async def received(sibling, there, metrics, **more):
    await send(there, Figures(tuple(metrics.registry.collect()), **more))
    until = time.monotonic() + 10
    while not sibling.figures.families:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


def lines(own, sibling):
    text = generate_latest(Together(own.registry, sibling)).decode()
    return {line.removeprefix("autoscribe_gateway_") for line in text.splitlines() if not line.startswith("#")}


async def test_counts_of_both_are_added_and_label_sets_of_either_are_there(pair):
    sibling, there, own = pair
    other = Metrics()
    own.wrote_versions("Patient", 2)
    other.wrote_versions("Patient", 3)
    other.wrote_versions("DiagnosticReport", 1)
    own.stored(0.01)
    other.stored(0.01)
    await received(sibling, there, other)
    shown = lines(own, sibling)
    assert 'resource_versions_total{resource_type="Patient"} 5.0' in shown
    assert 'resource_versions_total{resource_type="DiagnosticReport"} 1.0' in shown
    assert "store_write_duration_seconds_count 2.0" in shown


async def test_a_gauge_is_that_of_the_process_that_knows_it(pair):
    sibling, there, own = pair
    other = Metrics()
    own.watch_index_age(lambda: None)
    other.watch_index_age(lambda: 12.0)
    other.missing(4)
    own.alerted("store-full", "", 0)
    other.alerted("store-full", "", 1)
    await received(sibling, there, other)
    shown = lines(own, sibling)
    assert {
        "index_age_seconds 12.0",
        "missing_studies 4.0",
        'feed_alert{code="store-full",destination=""} 1.0',
    } <= shown


async def test_what_neither_knows_is_unknown(pair):
    sibling, there, own = pair
    await received(sibling, there, Metrics())
    [age] = [line for line in lines(own, sibling) if line.startswith("index_age_seconds")]
    assert math.isnan(float(age.split()[1]))


async def test_the_last_figures_stay_when_the_sibling_is_gone(pair):
    sibling, there, own = pair
    at = datetime(2026, 1, 2, tzinfo=UTC)
    await received(sibling, there, own, is_upstream_reachable=True, upstream_asked=at)
    there.close()
    await asyncio.sleep(0.05)
    assert (sibling.figures.is_upstream_reachable, sibling.figures.upstream_asked) == (True, at)
