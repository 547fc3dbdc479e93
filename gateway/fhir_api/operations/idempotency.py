"""Idempotency keys of operations: claim a key, wait while another request has it, store the answer for repeats.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/: a key that comes again gets the same
answer for the same request, and is refused for another one. The store holds the records as JSON without any client
input, so they survive a restart and apply to every process that uses the database.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.runtime import clock
from gateway.runtime.errors import (
    UpstreamConflict,
    UpstreamError,
    UpstreamNotFound,
    UpstreamRefused,
    UpstreamUnprocessable,
)
from gateway.runtime.request_errors import BadRequest, IdempotencyKeyMissing
from gateway.store.database.engine import Engine
from gateway.store.studies.idempotency import Done, KeyClaim, Requests

HEADER: Final = "Idempotency-Key"
# Errors that prove AutoScribe did not carry out a POST, and would refuse the same one again
REFUSALS: Final = (UpstreamConflict, UpstreamNotFound, UpstreamRefused, UpstreamUnprocessable)
# Seconds between two attempts to claim a key that another request holds
POLL: Final = 0.25
_BY_CODE: Final = {one.code: one for one in REFUSALS}
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Answered:
    """Answer to a request, stored so that repeats of the request get it, too."""

    status: int
    resource: Mapping[str, Any]
    location: str = ""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """Record of a POST sent to AutoScribe: the study and its reports before; `is_sure` if AutoScribe confirmed it."""

    study_id: str
    report_ids: frozenset[str]
    is_sure: bool = False


@dataclass(slots=True)
class KeyEntry:
    """A claimed key; the fields set here are stored when the claim is released.

    `sent` without `answered` or `refused`: read the outcome back, never send again. Set `sent` to None if certainly
    nothing was done; the key is then forgotten.
    """

    claim: KeyClaim
    sent: SentRequest | None
    answered: Answered | None = None
    refused: UpstreamError | None = None

    async def send(self, sent: SentRequest) -> None:
        """Record in the store that a POST is about to be sent.

        Raises:
            StoreUnavailable: the record was not written, or another process took the claim over; do not send.
        """
        await self.claim.send(_sent_json(sent))
        self.sent = sent


def fingerprint(*parts: str, body: bytes) -> str:
    """Return a digest of a request; different requests have different ones."""
    return hashlib.sha256(json.dumps(parts).encode() + b"\0" + body).hexdigest()


def checked(key: str | None, client_id: str | None = None) -> str:
    """Validate an idempotency key and return its digest, as stored; no other client's key has the same digest.

    `client_id` is that of the authenticated client, None if nobody was authenticated.

    Raises:
        IdempotencyKeyMissing: there is no key.
        BadRequest: the key is not 1 to 128 printable ASCII characters.
    """
    if not key:
        raise IdempotencyKeyMissing(f"no {HEADER} header")
    if not _KEY.fullmatch(key):
        raise BadRequest(f"{HEADER}: expected 1 to 128 printable ASCII characters without blanks")
    whose = key if client_id is None else json.dumps([client_id, key])
    return hashlib.sha256(whose.encode()).hexdigest()


@asynccontextmanager
async def entered(engine: Engine, key: str, request: str) -> AsyncIterator[KeyEntry | Answered]:
    """Claim a key (from `checked`) for a request (its `fingerprint`); yield the entry, or the stored answer.

    The claim is held while the block runs. If another request holds the key, in any process, wait for it.

    Raises:
        IdempotencyKeyReused: the key was given for another request.
        UpstreamError: AutoScribe refused this request before; this is the stored answer.
        StoreUnavailable: the store cannot be reached.
    """
    requests = Requests(engine)
    while (claimed := await requests.claim(key, request)) is None:
        await clock.sleep(POLL)
    if isinstance(claimed, Done):
        yield _parse_answer(claimed.answer)
        return
    entry = KeyEntry(claimed, _sent(claimed.sent))
    try:
        yield entry
    finally:
        await _settle(entry)


async def _settle(entry: KeyEntry) -> None:
    if entry.refused is not None:
        await entry.claim.done(_refused_json(entry.refused))
    elif entry.answered is not None:
        await entry.claim.done(json.dumps({"answered": asdict(entry.answered)}))
    elif entry.sent is not None:
        await entry.claim.leave(_sent_json(entry.sent))
    else:
        await entry.claim.release()


def _parse_answer(answer: str) -> Answered:
    """Parse a stored answer; raise it if it was an error."""
    stored = json.loads(answer)
    if "refused" in stored:
        refused = stored["refused"]
        raise _BY_CODE[refused.pop("code")](**refused)
    return Answered(**stored["answered"])


def _refused_json(error: UpstreamError) -> str:
    fields = {name: getattr(error, name) for name in ("code", "operation", "status", "request_id", "detail")}
    return json.dumps({"refused": fields})


def _sent_json(sent: SentRequest) -> str:
    return json.dumps({**asdict(sent), "report_ids": sorted(sent.report_ids)})


def _sent(text: str | None) -> SentRequest | None:
    if text is None:
        return None
    stored = json.loads(text)
    return SentRequest(stored["study_id"], frozenset(stored["report_ids"]), stored["is_sure"])
