"""Ready means that requests can be served; how complete and how old the index is, is said beside it."""

from datetime import UTC, datetime

import pytest

from gateway.fhir_api.ops.health import Health, readiness

ASKED = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def test_a_complete_index_and_a_reachable_world_are_ready():
    status, said = readiness(Health("", True, None, 12.345, True, ASKED), "1.0.0")
    assert status == 200
    assert said == {
        "status": "ready",
        "version": "1.0.0",
        "store": {"reachable": True, "writable": True},
        "work": {"alive": True},
        "index": {"complete": True, "percent": 100, "age_seconds": 12.3},
        "upstream": {"reachable": True, "as_of": "2026-01-02T03:04:05+00:00"},
    }


@pytest.mark.parametrize(("percent", "shown"), [(0, 0), (37, 37), (None, "unknown")])
def test_a_first_sweep_under_way_is_ready_and_says_how_far_it_is(percent, shown):
    status, said = readiness(Health("", False, percent), "1.0.0")
    assert (status, said["index"]) == (200, {"complete": False, "percent": shown, "age_seconds": "unknown"})


def test_autoscribe_out_of_reach_is_said_and_is_no_reason_to_stop_serving():
    status, said = readiness(Health(is_upstream_reachable=False, upstream_asked=ASKED), "1.0.0")
    assert (status, said["upstream"]["reachable"]) == (200, False)
    assert readiness(Health(), "1.0.0")[1]["upstream"] == {"reachable": "unknown", "as_of": "unknown"}


@pytest.mark.parametrize(("trouble", "is_reachable"), [("store-full", True), ("store-lost", False)])
def test_a_store_that_takes_no_writes_is_not_ready_and_it_is_said_why(trouble, is_reachable):
    status, said = readiness(Health(trouble), "1.0.0")
    assert (status, said["status"]) == (503, "not-ready")
    assert said["store"] == {"reachable": is_reachable, "writable": False, "reason": trouble}
    said = readiness(Health(trouble, store_words="the disk of the database is full"), "1.0.0")[1]
    assert said["store"]["detail"] == "the disk of the database is full"


def test_a_gateway_whose_loops_are_stuck_is_not_ready_though_it_answers():
    status, said = readiness(Health(is_work_alive=False), "1.0.0")
    assert (status, said["status"], said["work"]) == (503, "not-ready", {"alive": False})
    assert said["store"] == {"reachable": True, "writable": True}
