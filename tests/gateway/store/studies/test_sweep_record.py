"""Decision D26: the sweep's progress and the index's age are known in every process and after a crash."""

from datetime import UTC, timedelta

import pytest
from fakes.crawl import Cursors
from fakes.virtual_clock import START
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.studies.crawling import NAME, Finished, Running, SweepRecord, read_record

instants = st.datetimes(timezones=st.just(UTC))
counts = st.integers(0, 10**9)
records = st.builds(
    SweepRecord,
    counts,
    st.none() | st.builds(Running, instants, st.text(), counts, counts),
    st.none() | st.builds(Finished, instants, instants, counts),
    st.lists(instants, max_size=4).map(tuple),
)


@given(records)
async def test_a_record_is_read_as_it_was_kept(record):
    cursors = Cursors()
    await cursors.put(NAME, record.as_json())
    assert await read_record(cursors) == record


@given(records)
def test_a_percentage_is_given_only_where_there_is_something_to_compare_with_and_never_a_hundred(record):
    can_tell = record.running and record.finished and record.finished.studies
    assert (record.percent is not None) == bool(can_tell)
    assert record.percent is None or 0 <= record.percent <= 99


@pytest.mark.parametrize("value", [{}, {"sweeps": 1}, {"sweeps": 1, "running": {"page": 1}, "finished": None}])
async def test_a_record_that_cannot_be_read_is_as_if_no_sweep_had_been(value):
    cursors = Cursors()
    await cursors.put(NAME, value)
    assert await read_record(cursors) == SweepRecord()


def test_an_index_is_current_while_its_last_whole_sweep_is_young_enough():
    record = SweepRecord(finished=Finished(START, START + timedelta(seconds=10), 5))
    assert record.is_current(START + timedelta(seconds=70), 60)
    assert not record.is_current(START + timedelta(seconds=71), 60)
    assert not SweepRecord(running=Running(START)).is_current(START, 60)


def test_eight_sweeps_in_a_row_have_other_pages_and_all_are_nearly_as_large_as_can_be():
    sizes = [SweepRecord(sweeps).page_size for sweeps in range(8)]
    assert len(set(sizes)) == 8
    assert min(sizes) > 90
    assert max(sizes) == 100
