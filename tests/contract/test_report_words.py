"""Reports are found by words as a naive search finds them, while their words are kept, filled in, and erased.

https://hl7.org/fhir/R4/search.html#content; the naive search folds and compares each text by itself.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fakes.naive_search import says
from fakes.store import made, rows, write

from gateway.fhir_api.search.search_query import understand
from gateway.index.report_words import said_by
from gateway.index.search_value import Circumstances
from gateway.ingest.housekeeping import keep_words
from gateway.runtime.loops import alongside
from gateway.runtime.request_errors import NotSupported
from gateway.store.database.engine import ask_each
from gateway.store.studies import search, search_plan
from gateway.store.studies.write_versions import DROP_WORDS, MERGE_LATER, are_complete, catch_up, words_of

WHERE = Circumstances(UTC, datetime(2026, 1, 5, tzinfo=UTC), "", has_words=True)
WORDS = ("no", "Deep", "vein", "DEEP-VEIN", "1.5", "cm", "Größe", "naïve", "embolism", "the", "Ελλάδα", "x2", "1e5")
SEARCHES = 120


def report(number, text, **changes):
    """Make a report with that text, as the facade stores it."""
    data = b64encode(text.encode()).decode()
    tail = f'}},"presentedForm":[{{"contentType":"text/plain","data":"{data}"}}]}}'.encode()
    said = said_by({"presentedForm": [{"data": data}]})
    return made(f"DiagnosticReport/{number}", tail=tail, **{"owner": f"stu_{number}", "words": said, **changes})


async def fold(bodies):
    return words_of(bodies)


async def catch_all_up(engine, *, has_words=True):
    while await catch_up(engine, fold, has_words=has_words):
        pass


async def found(engine, value, *more):
    query = understand("DiagnosticReport", [("_content", value), *more], WHERE, strict=True)
    versions = (await search.page(engine, query.search(1_000))).versions
    return sorted(one.address.removeprefix("DiagnosticReport/") for one in versions)


@pytest.mark.parametrize("rounds", [(1, 4, 10_000), (1_000, 8_000, 64_000)])
async def test_words_and_phrases_find_what_a_naive_search_finds(rounds, engine, monkeypatch):
    monkeypatch.setattr(search_plan, "ROUNDS", rounds)
    dice = random.Random(7)
    texts = {str(number): " ".join(dice.choices(WORDS, k=dice.randint(0, 12))) for number in range(80)}
    await write(engine, *[report(number, text) for number, text in texts.items()])
    hits = 0
    for _ in range(SEARCHES):
        parts = [" ".join(dice.choices(WORDS, k=dice.randint(1, 3))) for _ in range(dice.randint(1, 2))]
        value = ",".join(f'"{one}"' if dice.random() < 0.5 else one for one in parts)
        ours, asked = await found(engine, value), value.split(",")
        assert ours == sorted(one for one, text in texts.items() if any(says(text, each) for each in asked)), value
        assert await found(engine, value, ("_lastUpdated", "ge1970")) == ours
        hits += bool(ours)
    assert SEARCHES > hits > SEARCHES / 4


async def test_a_phrase_far_into_a_text_that_repeats_a_word_is_found(engine):
    await write(engine, report("a", "the liver. " * 300 + "the spleen. the end"), report("b", "the end of the spleen"))
    assert await found(engine, '"the spleen"') == ["a", "b"]
    assert await found(engine, '"the end"') == ["a", "b"]
    assert await found(engine, '"end of"') == ["b"]


async def test_the_text_that_stands_is_found_and_no_older_one(engine):
    await write(engine, report("a", "pneumothorax on the left"))
    await write(engine, report("a", "no pneumothorax. right"), now=2)
    assert (await found(engine, "left"), await found(engine, "right")) == ([], ["a"])


async def test_what_was_stored_before_is_filled_in_and_until_then_the_words_are_not_complete(engine, monkeypatch):
    monkeypatch.setattr("gateway.store.studies.write_versions.WORDS_AT_ONCE", 3)
    await write(engine, *[report(number, f"word{number}", words=None) for number in range(8)])
    assert not await are_complete(engine)
    await catch_up(engine, fold, has_words=True)  # begins
    await write(engine, report("new", "newer"))
    assert not await are_complete(engine)
    await catch_all_up(engine)
    assert await are_complete(engine)
    assert await found(engine, "word0,word7,newer") == ["0", "7", "new"]


async def test_the_service_fills_them_in_by_itself(engine):
    await write(engine, report("a", "word", words=None))
    async with asyncio.timeout(30), alongside([keep_words(engine, has_words=True)]):
        while not await are_complete(engine):
            await asyncio.sleep(0.01)
    assert await found(engine, "word") == ["a"]


async def test_a_report_that_changes_while_it_is_filled_in_has_its_newest_words(engine):
    await write(engine, report("a", "older", words=None))
    changed = report("a", "newest")

    async def late(bodies):
        if bodies:
            await write(engine, changed, now=2)
        return words_of(bodies)

    while await catch_up(engine, late, has_words=True):
        pass
    assert (await found(engine, "older"), await found(engine, "newest")) == ([], ["a"])


async def test_a_process_that_keeps_no_words_makes_them_incomplete_and_they_are_filled_in_anew(engine):
    await write(engine, report("a", "older"), report("b", "other"))
    await catch_all_up(engine)
    await write(engine, report("a", "newest", words=None), now=2)
    assert not await are_complete(engine)
    await catch_all_up(engine)
    assert (await found(engine, "older"), await found(engine, "newest,other")) == ([], ["a", "b"])


async def test_without_the_setting_the_words_go(engine):
    await write(engine, *[report(number, "word") for number in range(5)])
    await catch_all_up(engine)
    await catch_all_up(engine, has_words=False)
    assert not await rows(engine, "SELECT w.rowid FROM report_words w")
    assert not await rows(engine, "SELECT value FROM fact WHERE name LIKE 'words%'")


async def test_erased_words_are_in_no_part_of_the_index_file(sqlite_engine):
    await write(
        sqlite_engine, *[report(number, f"{chr(97 + number % 20)}{number}canary{number} other") for number in range(40)]
    )
    await catch_all_up(sqlite_engine)
    numbers = [{"number": one} for (one,) in await rows(sqlite_engine, "SELECT number FROM resource ORDER BY address")]

    def erase():
        yield from ask_each(DROP_WORDS, numbers[:-1])
        yield from ask_each(MERGE_LATER["sqlite"], [{}])

    await sqlite_engine.do(erase)
    await catch_all_up(sqlite_engine)
    with sqlite3.connect(sqlite_engine.path) as reader:
        blocks = b"".join(block for (block,) in reader.execute("SELECT block FROM report_words_data"))
    [kept] = await found(sqlite_engine, "other")
    assert [number for number in range(40) if b"canary%d" % number in blocks] == [int(kept)]


async def test_for_a_client_with_limits_the_words_of_others_decide_nothing(engine):
    query = understand("DiagnosticReport", [("_content", "word"), ("date", "2026")], WHERE, strict=True)
    asked = query.search(10)
    assert search_plan.counted_places(asked, looks=False) == [0, 1]
    assert search_plan.counted_places(replace(asked, limits=asked.clauses[1:]), looks=False) == [1]


@pytest.mark.parametrize(("kind", "name"), [("Observation", "_content"), ("DiagnosticReport", "_content:exact")])
def test_other_types_and_modifiers_are_refused(kind, name):
    with pytest.raises(NotSupported):
        understand(kind, [(name, "x"), ("_lastUpdated", "ge2000")], WHERE, strict=False)


def test_without_the_setting_words_are_refused():
    with pytest.raises(NotSupported):
        understand("DiagnosticReport", [("_content", "x")], WHERE._replace(has_words=False), strict=False)
