"""Decision D16: a report is as AutoScribe last sent it, and stays signed."""

import pytest
from fakes.pdfs import DRAFT, Library

from gateway.store.stored_reports import stored_report


@pytest.fixture
def library(engine):
    return Library(engine)


async def test_a_report_is_found_by_its_id_with_its_text(library):
    await library.report("3", text="a\r\n\tb\ud800")
    await library.report("4", text="other")
    found = await stored_report(library.engine, library.report_id("3"))
    assert (found.report_id, found.text, found.is_completed) == (library.report_id("3"), "a\r\n\tb\ud800", True)
    assert await stored_report(library.engine, library.report_id("5")) is None


async def test_a_signed_report_that_is_seen_unsigned_stays_as_it_was_signed(library):
    await library.report(text="signed")
    await library.report(text="being changed", **DRAFT)
    found = await stored_report(library.engine, library.report_id())
    assert (found.text, found.is_completed) == ("signed", True)
