"""Decision D28: a PDF is kept whole or not at all, and no reader sees a part of one."""

from datetime import timedelta

import pytest
from fakes.pdfs import DRAFT, START, Library, Time, pdf, sha1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ingest import Pipeline
from gateway.runtime.errors import StoreUnavailable
from gateway.store import stored_reports
from gateway.store.stored_reports import CHUNK, HOLD, Overtaken, stored_report

OTHER_TEXT = "IMPRESSION: Fracture."


@pytest.fixture
def time(monkeypatch):
    return Time(monkeypatch)


@pytest.fixture
async def library(engine, time):
    return Library(engine)


async def test_the_pdf_of_a_signed_report_is_wanted_and_that_of_an_unsigned_one_is_not(library):
    await library.report("3")
    await library.report("4", **DRAFT)
    [wanted] = await library.wanted()
    assert (wanted.report_id, wanted.study_id) == (library.report_id("3"), library.study_id("3"))
    assert (wanted.attempts, wanted.code) == (0, "")
    assert [await library.pdfs.count(state) for state in ("wanted", "kept", "unavailable")] == [1, 0, 0]


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
async def test_a_pdf_comes_out_as_it_went_in(library, size):
    data = pdf(size)
    await library.report()
    claim = await library.claim()
    for start in range(0, size, 100_003):
        await claim.write(data[start : start + 100_003])
    await claim.keep()
    assert await library.kept() == data
    kept_pdf = await library.pdfs.current(library.report_id())
    assert (kept_pdf.size, kept_pdf.sha1, kept_pdf.kept) == (size, sha1(data), START)
    assert [await library.pdfs.count(state) for state in ("wanted", "kept")] == [0, 1]


@pytest.mark.full
@given(
    st.binary(min_size=1, max_size=60).flatmap(
        lambda data: st.tuples(
            st.just(data),
            st.lists(st.integers(0, len(data)), max_size=6).map(sorted),
            st.tuples(st.integers(0, len(data) - 1), st.integers(0, len(data) - 1)).map(sorted),
        )
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
async def test_any_bytes_in_any_pieces_come_out_and_any_range_is_the_slice(library, monkeypatch, drawn):
    monkeypatch.setattr(stored_reports, "CHUNK", 8)
    data, cuts, (first, last) = drawn
    await library.report()
    await library.want()
    claim = await library.claim()
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        await claim.write(data[start:end])
    await claim.keep()
    assert await library.kept() == data
    kept_pdf = await library.pdfs.current(library.report_id())
    pieces = [piece async for piece in library.pdfs.read(kept_pdf, first, last)]
    assert b"".join(pieces) == data[first : last + 1]
    assert max(map(len, pieces)) <= 8


async def test_what_was_kept_is_served_until_another_one_is_there_whole(library):
    await library.report()
    before, after = pdf(3 * CHUNK, 1), pdf(3 * CHUNK + 5, 2)
    await library.keep(before)
    await library.want()
    claim = await library.claim()
    for start in range(0, len(after), CHUNK):
        await claim.write(after[start : start + CHUNK])
        assert await library.kept() == before
    assert claim.is_other_of_same_text
    await claim.keep()
    assert await library.kept() == after


@pytest.mark.parametrize("chunks", range(5))
async def test_a_crash_at_any_chunk_loses_nothing_and_what_it_leaves_is_swept(library, time, chunks):
    await library.report()
    before, after = pdf(1000, 1), pdf(4 * CHUNK + 5, 2)
    await library.keep(before)
    await library.want()
    crashed = await library.claim()
    await crashed.write(after[: chunks * CHUNK])
    assert await library.wanted() == []
    assert await library.kept() == before
    assert len(await library.generations()) == (2 if chunks else 1)
    time.forward(HOLD.total_seconds())
    await library.keep(after)
    assert await library.kept() == after
    assert len(await library.generations()) == 1


async def test_who_was_overtaken_writes_nothing_more_and_keeps_nothing(library, time):
    await library.report()
    slow = await library.claim()
    await slow.write(pdf(CHUNK))
    time.forward(HOLD.total_seconds())
    quick = await library.claim()
    for late in (slow.write(pdf(CHUNK)), slow.keep(), slow.again(time.at, "x", 1), slow.give_up("x", 1)):
        with pytest.raises(Overtaken):
            await late
    await quick.write(pdf(99))
    await quick.keep()
    assert await library.kept() == pdf(99)
    assert len(await library.generations()) == 1


async def test_only_one_of_two_gets_hold_of_it(library):
    await library.report()
    [wanted] = await library.wanted()
    await library.pdfs.claim(wanted)
    with pytest.raises(Overtaken):
        await library.pdfs.claim(wanted)


async def test_each_chunk_prolongs_the_hold(library, time):
    await library.report()
    claim = await library.claim()
    for _ in range(3):
        time.forward(HOLD.total_seconds() - 1)
        await claim.write(pdf(CHUNK))
        assert await library.wanted() == []
    await claim.keep()
    assert (await library.row())["size"] == 3 * CHUNK


async def test_a_text_that_changes_while_its_pdf_is_fetched_has_it_fetched_again(library):
    await library.report()
    claim = await library.claim()
    await claim.write(pdf(CHUNK))
    await library.report(text=OTHER_TEXT)
    with pytest.raises(Overtaken):
        await claim.keep()
    assert await library.kept() is None
    await library.keep(pdf(50))
    assert await library.kept() == pdf(50)
    assert len(await library.generations()) == 1


async def test_the_pdf_of_an_earlier_text_is_no_longer_that_of_the_report(library):
    await library.report()
    await library.keep(pdf(50))
    await library.report(text=OTHER_TEXT)
    assert await library.kept() is None
    claim = await library.claim()
    await claim.write(pdf(50))
    assert claim.is_of_earlier_text
    await claim.write(b"more")
    assert not claim.is_of_earlier_text
    assert not claim.is_other_of_same_text
    await claim.keep()
    assert await library.kept() == pdf(50) + b"more"


async def test_a_text_that_differs_in_its_line_breaks_alone_is_the_same_text(library):
    await library.report(text="a\nb")
    await library.keep(pdf(50))
    await library.report(text="a\r\nb")
    assert await library.kept() == pdf(50)


async def test_the_same_bytes_for_the_same_text_change_nothing(library, time):
    await library.report()
    await library.keep(pdf(2 * CHUNK))
    before = await library.row()
    await library.want()
    time.forward(1)
    claim = await library.claim()
    await claim.write(pdf(2 * CHUNK))
    assert not claim.is_other_of_same_text
    await claim.keep()
    after = await library.row()
    assert {**after, "due": None} == {**before, "due": None}
    assert await library.generations() == {before["generation"]}
    assert (await library.pdfs.current(library.report_id())).kept == START


async def test_it_is_due_again_when_it_was_said_and_the_half_of_it_is_gone(library, time):
    await library.report()
    claim = await library.claim()
    await claim.write(pdf(CHUNK))
    await claim.again(time.at + timedelta(seconds=30), "pdf-interrupted", 3)
    assert await library.generations() == set()
    time.forward(29)
    assert await library.wanted() == []
    time.forward(1)
    [wanted] = await library.wanted()
    assert (wanted.attempts, wanted.code) == (3, "pdf-interrupted")


async def test_what_cannot_be_had_is_not_wanted_until_its_text_is_another(library, time):
    await library.report()
    await library.keep(pdf(50))
    await library.report(text=OTHER_TEXT)
    claim = await library.claim()
    await claim.write(pdf(2 * CHUNK))
    await claim.give_up("pdf-unavailable", 6)
    time.forward(1e6)
    assert await library.wanted() == []
    row = await library.row()
    assert (row["state"], row["code"], row["attempts"]) == ("unavailable", "pdf-unavailable", 6)
    assert await library.generations() == {row["generation"]}
    assert await library.pdfs.count("unavailable") == 1
    await library.report(text="IMPRESSION: Another one.")
    assert len(await library.wanted()) == 1


async def test_what_is_kept_is_to_be_told_until_it_was(library, time):
    await library.report()
    untold = await library.keep(pdf(50))
    assert await library.pdfs.untold(time.at, 9) == [untold]
    assert untold.study_id == library.study_id()
    await library.pdfs.tell_by(untold, time.at + timedelta(seconds=5))
    assert await library.pdfs.untold(time.at, 9) == []
    time.forward(5)
    assert await library.pdfs.untold(time.at, 9) == [untold]
    await library.pdfs.told(untold)
    time.forward(1e9)
    assert await library.pdfs.untold(time.at, 9) == []


async def test_that_another_pdf_is_there_by_now_is_still_to_be_told(library, time):
    await library.report()
    first = await library.keep(pdf(50, 1))
    await library.want()
    time.forward(1)
    second = await library.keep(pdf(50, 2))
    await library.pdfs.told(first)
    assert await library.pdfs.untold(time.at, 9) == [second]


async def test_what_was_signed_last_is_fetched_first(library, time):
    for digit in "abcd":
        await library.report(digit)
        time.forward(1)
    found = await library.pdfs.wanted(time.at, 3)
    assert [one.report_id[-1] for one in found] == ["d", "c", "b"]


async def test_who_reads_a_pdf_that_is_replaced_gets_no_byte_of_the_other(library):
    await library.report()
    await library.keep(pdf(3 * CHUNK, 1))
    kept_pdf = await library.pdfs.current(library.report_id())
    reading = library.pdfs.read(kept_pdf, 0, kept_pdf.size - 1)
    assert await anext(reading) == pdf(3 * CHUNK, 1)[:CHUNK]
    await library.want()
    await library.keep(pdf(3 * CHUNK, 2))
    with pytest.raises(StoreUnavailable):
        await anext(reading)


async def test_of_a_report_that_is_not_stored_there_is_nothing(library):
    assert await library.pdfs.current(library.report_id("9")) is None
    assert await stored_report(library.engine, library.report_id("9")) is None


async def test_what_the_mapping_is_told_is_what_is_kept(library):
    await library.report()
    assert await library.said_of_pdf() == {"size": None, "hash": None}
    await library.keep(pdf(2 * CHUNK))
    await library.pipeline.refresh(library.study_id())
    attachment = await library.said_of_pdf()
    assert attachment["size"] == 2 * CHUNK
    assert attachment["hash"] is not None


async def test_where_none_are_kept_none_are_wanted(library):
    settings = library.pipeline.settings
    library.pipeline = Pipeline(library.engine, settings.site, settings.zone, wants_pdf=False)
    await library.report()
    assert await library.wanted() == []
