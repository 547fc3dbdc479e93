from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream import retry

NOW = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)


def _policy(jitter=0.0, cap=60.0, backoff=8.0):
    return retry.Policy(attempts=5, retry_after_cap=cap, max_backoff=backoff, jitter=lambda: jitter)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0.25 "}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "7"}, 7),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90),
        ({"retry-after": "Sun, 01 Nov 2026 12:01:00 -0000"}, 60),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "Fri, 99 Xyz 2026 99:99:99 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(headers, seconds):
    assert retry.retry_after(headers, NOW) == seconds


@given(st.text())
def test_no_retry_after_header_can_break_the_client(text):
    seconds = retry.retry_after({"retry-after": text, "retry-after-ms": text}, NOW)
    assert seconds is None or seconds > 0


@pytest.mark.parametrize(
    ("attempt", "asked", "seconds"),
    [(1, None, 0.5), (2, None, 1), (4, None, 4), (9, None, 8), (1, 30, 30), (1, 90, 60)],
)
def test_the_wait_doubles_up_to_its_bound_unless_the_server_names_one(attempt, asked, seconds):
    assert _policy().delay(attempt, asked) == seconds


def test_jitter_takes_up_to_a_quarter_off_the_backoff_and_nothing_off_what_the_server_asked():
    assert _policy(jitter=1.0).delay(1, None) == 0.375
    assert _policy(jitter=1.0).delay(1, 10) == 10


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_only_a_get_is_asked_again_after_a_passing_failure(status):
    assert retry.may_repeat("GET", status, None)
    assert not retry.may_repeat("POST", status, None)
    assert not retry.may_repeat("POST", status, "true")


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 422])
def test_a_lasting_refusal_is_not_asked_again(status):
    assert not retry.may_repeat("GET", status, None)
