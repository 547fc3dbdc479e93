"""The idempotency key of an operation that must not run twice, and what is known of the request that it came with.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/: the same key with the same request is
answered as before, with another request it is refused. What is known stands in the store, as JSON without a word that a
client typed, so that it outlives a restart and counts for every process of the database.
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
    BadRequest,
    IdempotencyKeyMissing,
    UpstreamConflict,
    UpstreamError,
    UpstreamNotFound,
    UpstreamRefused,
    UpstreamUnprocessable,
)
from gateway.store.database.engine import Engine
from gateway.store.studies.idempotency import Done, KeyClaim, Requests

HEADER: Final = "Idempotency-Key"
# What AutoScribe says only of a POST that it did not carry out and would not carry out again
REFUSALS: Final = (UpstreamConflict, UpstreamNotFound, UpstreamRefused, UpstreamUnprocessable)
# Seconds between two looks at a key that somebody else holds
POLL: Final = 0.25
_BY_CODE: Final = {one.code: one for one in REFUSALS}
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered to a request: it is answered again to a repeat."""

    status: int
    resource: Mapping[str, Any]
    location: str = ""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """That a POST left for AutoScribe: the study, and its reports before; `is_sure` if AutoScribe said it is done."""

    study_id: str
    report_ids: frozenset[str]
    is_sure: bool = False


@dataclass(slots=True)
class KeyEntry:
    """A request that is to be carried out, by nobody else; what is set here is kept when it is let go.

    `sent` without `answered` or `refused` means that the outcome must be read back, never that it is sent again. It is
    set to None where certainly nothing was done: then the key is forgotten.
    """

    claim: KeyClaim
    sent: SentRequest | None
    answered: Answered | None = None
    refused: UpstreamError | None = None

    async def send(self, sent: SentRequest) -> None:
        """Write that a POST leaves, before it does.

        Raises:
            StoreUnavailable: it could not be written, or somebody else took over: nothing may be sent.
        """
        await self.claim.send(_sent_json(sent))
        self.sent = sent


def fingerprint(*parts: str, body: bytes) -> str:
    """A digest of what makes a request another one."""
    return hashlib.sha256(json.dumps(parts).encode() + b"\0" + body).hexdigest()


def checked(key: str | None) -> str:
    """The digest of a key, as it stands in the store.

    Raises:
        IdempotencyKeyMissing: there is no key.
        BadRequest: it is not 1 to 128 printable ASCII characters.
    """
    if not key:
        raise IdempotencyKeyMissing(f"no {HEADER} header")
    if not _KEY.fullmatch(key):
        raise BadRequest(f"{HEADER}: expected 1 to 128 printable ASCII characters without blanks")
    return hashlib.sha256(key.encode()).hexdigest()


@asynccontextmanager
async def entered(engine: Engine, key: str, request: str) -> AsyncIterator[KeyEntry | Answered]:
    """What is known of a key (as `checked` gives it) with a request (its `fingerprint`): its answer, or what to do.

    An entry is held while the block runs. While somebody else holds it, in this process or another, it is waited for.

    Raises:
        IdempotencyKeyReused: the key was given for another request.
        UpstreamError: that is the answer: AutoScribe refused the request before.
        StoreUnavailable: the store cannot be reached.
    """
    requests = Requests(engine)
    while (found := await requests.claim(key, request)) is None:
        await clock.sleep(POLL)
    if isinstance(found, Done):
        yield _answered(found.answer)
        return
    entry = KeyEntry(found, _sent(found.sent))
    try:
        yield entry
    finally:
        await _let_go(entry)


async def _let_go(entry: KeyEntry) -> None:
    if entry.refused is not None:
        await entry.claim.done(_refused_json(entry.refused))
    elif entry.answered is not None:
        await entry.claim.done(json.dumps({"answered": asdict(entry.answered)}))
    elif entry.sent is not None:
        await entry.claim.leave(_sent_json(entry.sent))
    else:
        await entry.claim.release()


def _answered(answer: str) -> Answered:
    """The answer as it was given before; raises the refusal that it was."""
    said = json.loads(answer)
    if "refused" in said:
        refused = said["refused"]
        raise _BY_CODE[refused.pop("code")](**refused)
    return Answered(**said["answered"])


def _refused_json(error: UpstreamError) -> str:
    said = {name: getattr(error, name) for name in ("code", "operation", "status", "request_id", "detail")}
    return json.dumps({"refused": said})


def _sent_json(sent: SentRequest) -> str:
    return json.dumps({**asdict(sent), "report_ids": sorted(sent.report_ids)})


def _sent(text: str | None) -> SentRequest | None:
    if text is None:
        return None
    said = json.loads(text)
    return SentRequest(said["study_id"], frozenset(said["report_ids"]), said["is_sure"])
