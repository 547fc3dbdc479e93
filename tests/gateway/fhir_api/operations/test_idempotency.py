"""Idempotency keys: stored answers, stored refusals, and sent requests whose outcome must be read back.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import asyncio
import hashlib

import pytest

from gateway.fhir_api.operations.idempotency import (
    REFUSALS,
    Answered,
    KeyEntry,
    SentRequest,
    checked,
    entered,
    fingerprint,
)
from gateway.runtime.errors import UpstreamConflict, UpstreamNotFound, UpstreamRefused
from gateway.runtime.request_errors import BadRequest, IdempotencyKeyMissing, IdempotencyKeyReused

SENT = SentRequest("stu_1", frozenset({"rep_1", "rep_2"}))


def test_a_key_becomes_its_digest():
    assert checked("k1") == hashlib.sha256(b"k1").hexdigest()
    assert checked("~" * 128) != checked("~" * 127)


def test_the_key_of_one_client_is_never_that_of_another():
    digests = [checked("k1", client_id) for client_id in (None, "", "viewer", "archive", 'viewer", "k1')]
    digests += [checked(key, "view") for key in ("k1", "er")] + [checked('["viewer","k1"]'), checked("1", "viewer,k")]
    assert len(set(digests)) == len(digests)
    assert checked("k1", "viewer") == checked("k1", "viewer")


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_nothing_may_be_done(key):
    with pytest.raises(IdempotencyKeyMissing):
        checked(key)


@pytest.mark.parametrize("key", ["a b", "\x7f", "x" * 129, "k\u00e9"])
def test_a_key_is_128_printable_ascii_characters_at_most(key):
    with pytest.raises(BadRequest):
        checked(key)


def test_a_request_is_another_one_where_any_part_of_it_is():
    several = [
        fingerprint("$addendum", "rep_1", body=b""),
        fingerprint("$cancel-addendum", "rep_1", body=b""),
        fingerprint("$addendum", "rep_2", body=b""),
        fingerprint("$addendum", "rep_1", "", body=b""),
        fingerprint("$addendum", "rep_1", 'W/"1"', body=b""),
        fingerprint("$addendum", "rep_1", 'W/"1"', 'W/"2"', body=b""),
        fingerprint("$addendum", "rep_1", body=b"{}"),
        fingerprint("$addendum", "rep_1", body=b'\0"'),
    ]
    assert len(set(several)) == len(several)
    assert several[0] == fingerprint("$addendum", "rep_1", body=b"")


async def test_what_was_answered_is_answered_again(sqlite_engine):
    answered = Answered(201, {"resourceType": "Parameters", "parameter": [{"name": "a"}]}, "DiagnosticReport/rep-1")
    async with entered(sqlite_engine, "k", "r") as entry:
        await entry.send(SENT)
        entry.answered = answered
    for _ in range(2):
        async with entered(sqlite_engine, "k", "r") as found:
            assert found == answered


@pytest.mark.parametrize("kind", REFUSALS)
async def test_what_was_refused_is_refused_again_in_the_same_words(sqlite_engine, kind):
    error = kind("$addendum", status=409, request_id="req-1", detail="success is false")
    with pytest.raises(kind):
        async with entered(sqlite_engine, "k", "r") as entry:
            await entry.send(SENT)
            entry.sent, entry.refused = None, error
            raise error
    with pytest.raises(kind) as found:
        async with entered(sqlite_engine, "k", "r"):
            pass
    assert str(found.value) == str(error)
    assert (found.value.status, found.value.request_id) == (409, "req-1")


def test_no_two_refusals_have_one_code():
    assert len({one.code for one in REFUSALS}) == len(REFUSALS)


async def test_what_was_sent_and_is_not_known_is_known_as_sent(sqlite_engine):
    async with entered(sqlite_engine, "k", "r") as entry:
        assert entry.sent is None
        await entry.send(SENT)
    sure = SentRequest(SENT.study_id, SENT.report_ids, is_sure=True)
    async with entered(sqlite_engine, "k", "r") as entry:
        assert entry.sent == SENT
        entry.sent = sure
    async with entered(sqlite_engine, "k", "r") as entry:
        assert entry.sent == sure


@pytest.mark.parametrize(
    "failure", [UpstreamConflict("a"), UpstreamNotFound("a"), ValueError(), asyncio.CancelledError()]
)
async def test_a_failure_after_something_was_sent_does_not_free_the_key(sqlite_engine, failure):
    with pytest.raises(type(failure)):
        async with entered(sqlite_engine, "k", "r") as entry:
            await entry.send(SENT)
            raise failure
    async with entered(sqlite_engine, "k", "r") as entry:
        assert entry.sent == SENT


@pytest.mark.parametrize("failure", [UpstreamRefused("a"), ValueError(), asyncio.CancelledError()])
async def test_a_failure_before_anything_was_sent_frees_the_key_for_any_request(sqlite_engine, failure):
    with pytest.raises(type(failure)):
        async with entered(sqlite_engine, "k", "r"):
            raise failure
    async with entered(sqlite_engine, "k", "other") as entry:
        assert isinstance(entry, KeyEntry)
        assert entry.sent is None


async def test_a_repeat_waits_for_who_holds_the_key_and_another_request_does_not(sqlite_engine):
    async def repeated():
        async with entered(sqlite_engine, "k", "r") as found:
            return found

    async with entered(sqlite_engine, "k", "r") as entry:
        waiting = asyncio.create_task(repeated())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        with pytest.raises(IdempotencyKeyReused):
            async with entered(sqlite_engine, "k", "other"):
                pass
        entry.answered = Answered(200, {})
    assert await waiting == Answered(200, {})
