"""Decision D26: a failed ingest is tried again, also after a crash."""

from datetime import timedelta

import pytest
from fakes.crawl import Cursors, study_id
from fakes.virtual_clock import START
from hypothesis import given
from hypothesis import strategies as st

from gateway.crawl.retries import ATTEMPTS, MOST, Retries, may_help
from gateway.runtime.errors import (
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamNotFound,
    UpstreamNotUnderstood,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from gateway.runtime.request_errors import BadRequest

ONE = study_id(1)


def after(seconds):
    return START + timedelta(seconds=seconds)


async def loaded(cursors):
    retries = Retries("r", cursors)
    await retries.load()
    return retries


async def test_a_study_is_due_later_each_time_and_then_given_up():
    retries = Retries("r", Cursors())
    waits, now = [], START
    while retries.put_off(ONE, now):
        wait = 0
        while not retries.take_due(now + timedelta(seconds=wait)):
            wait += 30
        waits.append(wait)
        now += timedelta(seconds=wait)
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert len(waits) == ATTEMPTS - 1


async def test_a_study_that_was_taken_is_out_of_the_way_until_it_would_be_due_again():
    retries = Retries("r", Cursors())
    retries.put_off(ONE, START)
    assert [retries.take_due(after(seconds)) for seconds in (29, 30, 30, 89, 90)] == [[], [ONE], [], [], [ONE]]


async def test_what_was_saved_is_known_after_a_crash_and_what_was_settled_is_not():
    cursors = Cursors()
    retries = await loaded(cursors)
    for number in (1, 2, 3):
        retries.put_off(study_id(number), START)
    retries.settle(study_id(2))
    await retries.save()
    again = await loaded(cursors)
    assert (again.take_due(after(30)), len(again)) == ([study_id(1), study_id(3)], 2)


async def test_nothing_is_written_while_nothing_changed():
    cursors = Cursors()
    retries = await loaded(cursors)
    await retries.save()
    retries.put_off(ONE, START)
    await retries.save()
    await retries.save()
    retries.settle(study_id(9))
    retries.take_due(after(30))
    await retries.save()
    assert cursors.puts == ["r"]


async def test_what_could_not_be_saved_is_saved_the_next_time():
    cursors = Cursors()
    retries = await loaded(cursors)
    retries.put_off(ONE, START)
    put, cursors.put = cursors.put, None
    with pytest.raises(TypeError):
        await retries.save()
    cursors.put = put
    await retries.save()
    assert len(await loaded(cursors)) == 1


async def test_the_list_is_read_once():
    cursors = Cursors()
    retries = await loaded(cursors)
    retries.put_off(ONE, START)
    await retries.load()
    assert len(retries) == 1


async def test_there_is_room_for_so_many_and_those_inside_keep_theirs():
    retries = Retries("r", Cursors())
    assert all(retries.put_off(study_id(number), START) for number in range(MOST))
    assert not retries.put_off(study_id(MOST), START)
    assert retries.put_off(study_id(0), START)
    assert len(retries) == MOST


async def test_a_list_that_cannot_be_read_is_as_if_there_was_none():
    cursors = Cursors()
    await cursors.put("r", {"studies": {ONE: {"attempts": "many"}}})
    assert len(await loaded(cursors)) == 0


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (UpstreamFailed("GET /reports"), True),
        (UpstreamUnreachable("GET /reports"), True),
        (UpstreamNotFound("GET /studies/{}"), True),
        (UpstreamKeyRefused("GET /studies/{}"), True),
        (OSError(), True),
        (UpstreamNotUnderstood("GET /reports"), False),
        (UpstreamTooLarge("GET /reports"), False),
        (BadRequest("study id: empty"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_trying_again_helps_where_the_answer_may_become_another(error, helps):
    assert may_help(error) is helps


@given(st.lists(st.tuples(st.sampled_from("ptsc"), st.integers(0, 5), st.integers(0, 4000))))
async def test_a_study_put_off_is_in_the_list_until_it_is_settled_or_given_up(acts):
    cursors, now = Cursors(), START
    retries, model = await loaded(cursors), {}
    for act, number, seconds in acts:
        now += timedelta(seconds=seconds)
        study = study_id(number)
        if act == "p":
            if retries.put_off(study, now):
                model[study] = model.get(study, 0) + 1
            else:
                assert model.pop(study) == ATTEMPTS - 1
                retries.settle(study)
        elif act == "t":
            assert set(retries.take_due(now)) <= set(model)
        elif act == "s":
            retries.settle(study)
            model.pop(study, None)
        else:
            await retries.save()
            retries = await loaded(cursors)
        assert len(retries) == len(model)
    assert set(retries.take_due(now + timedelta(hours=2))) == set(model)
