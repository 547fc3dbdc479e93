"""A loop whose stored position is lost starts again."""

import pytest
from fakes.crawl import Cursors
from structlog.testing import capture_logs

from gateway.store.studies.crawling import kept_position


async def test_a_position_is_what_was_kept_and_nothing_before():
    cursors = Cursors()
    assert await kept_position(cursors, "place", lambda value: value["at"], 0) == 0
    await cursors.put("place", {"at": 7})
    assert await kept_position(cursors, "place", lambda value: value["at"], 0) == 7


@pytest.mark.parametrize("value", [{}, {"at": None}, {"at": "seven"}, [], "text"])
async def test_a_position_that_cannot_be_read_is_as_if_there_was_none_and_that_is_said(value):
    cursors = Cursors()
    await cursors.put("place", value)
    with capture_logs() as logs:
        assert await kept_position(cursors, "place", lambda value: int(value["at"]), 0) == 0
    assert [(one["event"], one["operation"]) for one in logs] == [("position-not-understood", "place")]
