"""Feed journal: its lines stand alone, and hold nothing about a patient (decision D38)."""

from __future__ import annotations

import json
import zlib

import pytest
from fakes.heads import head
from hypothesis import given
from hypothesis import strategies as st

from gateway.feed.deliver.journal_lines import Header, JournalBatch, JournalEntry, encoded, entry_of, read, seal
from gateway.store.feed.messages import SendResult

KEY = b"k" * 32
AT = 1_767_000_000_000_000


def entry(number: int = 1, **more: object) -> JournalEntry:
    return entry_of("ehr", head(number, restates="F1/", body_hash="ab", told="cd"), AT, KEY, **more)


def batch(n: int, *entries: JournalEntry, **more: object) -> JournalBatch:
    return JournalBatch(n, n - 1, AT, entries=entries or (entry(n),), **more)


def lines(*what: Header | JournalBatch) -> list[bytes]:
    return [encoded(one) for one in what]


HEADER = Header("one", "epoch", 0, AT)


def test_what_is_written_is_read_again():
    result = SendResult(head(2), "delivered", ack="AA", accepted=AT)
    written = [batch(1), batch(2, entry(2, result=result), others={"two": 7})]
    contents = read(lines(HEADER, *written))
    assert (contents.journal, contents.epoch, contents.begins, contents.last, contents.confirmed) == (
        "one",
        "epoch",
        0,
        2,
        1,
    )
    assert contents.batches == written and contents.others == {"two": 7} and not contents.faults
    assert [one.state for one in contents.since(0)] == ["sending", "delivered"]
    assert [one.number for one in contents.since(1)] == [2]


@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_line_that_is_torn_or_strange_takes_no_other_with_it(strange, cut):
    whole = encoded(batch(1))
    found = read(
        [*lines(HEADER), strange + b"\n", whole[:cut].rstrip(b"\n") if cut < len(whole) - 1 else b"", *lines(batch(2))]
    )
    assert found.journal == "one" and found.last == 2 and [one.n for one in found.batches] == [2]
    assert found.gaps == {1}


@pytest.mark.parametrize(
    "text", ['{"batch": {"n": 1}}', '{"other": 1}', '{"batch": {"n": 1, "entries": [{}]}}', "[", "1"]
)
def test_a_line_of_another_release_is_counted_and_passed_over(text):
    found = read([*lines(HEADER), f"{zlib.crc32(text.encode()):08x} {text}\n".encode(), *lines(batch(1))])
    assert found.faults == 1 and found.last == 1


def test_batches_that_it_lacks_are_known_before_it_begins_in_between_and_behind_it():
    found = read(lines(Header("one", "epoch", 4, AT), batch(5), batch(8)))
    assert [found.lacks(n, n + 1) for n in range(9)] == [1, 1, 1, 1, 0, 1, 1, 0, 1]
    assert found.lacks(0, 9) == 7


def test_a_header_of_the_same_journal_goes_on_and_of_another_one_begins_anew():
    goes_on = read(lines(HEADER, batch(1), Header("one", "epoch", 1, AT, {"two": 3}), batch(2)))
    assert [one.n for one in goes_on.batches] == [1, 2] and goes_on.others == {"two": 3}
    anew = read(lines(HEADER, batch(1), Header("two", "other", 0, AT), batch(1)))
    assert (anew.journal, anew.epoch, len(anew.batches)) == ("two", "other", 1)


def test_of_its_batches_as_many_as_are_asked_for_are_kept():
    found = read(lines(HEADER, batch(1), batch(2), batch(3)), 2)
    assert [one.n for one in found.batches] == [2, 3] and found.last == 3


def test_numbers_are_sealed_and_known_again_under_the_same_key_alone():
    secret = head(1, filler_order_numbers=("ACC-4711",), restates="F1/ACC-4711", body=b"MSH|Zyxwrumpel")
    written = encoded(batch(1, entry_of("ehr", secret, AT, KEY)))
    assert b"ACC-4711" not in written and b"Zyxwrumpel" not in written
    said = json.loads(written.partition(b" ")[2])["batch"]["entries"][0]
    assert said["numbers"] == [seal(KEY, "ACC-4711")] != [seal(b"x" * 32, "ACC-4711")]


def test_a_journal_without_lines_is_empty():
    contents = read([])
    assert (contents.journal, contents.epoch, contents.begins, contents.last, contents.confirmed) == ("", "", 0, 0, 0)
    assert (contents.batches, contents.gaps, contents.faults, contents.others) == ([], set(), 0, {})
