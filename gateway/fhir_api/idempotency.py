"""The idempotency keys of operations that must not run twice, in memory and bounded: a restart forgets them.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/: the same key with the same request is
answered as before, with another request it is refused.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.errors import BadRequest, GatewayError, IdempotencyKeyMissing, IdempotencyKeyReused

HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered to a request: it is answered again to a repeat."""

    status: int
    resource: Mapping[str, Any]
    location: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """That a POST left for AutoScribe: the study, and its reports before; `is_sure` if AutoScribe said it is done."""

    study_id: str
    report_ids: frozenset[str]
    is_sure: bool = False


@dataclass(slots=True)
class Entry:
    """What is known of a request by its key. Hold `lock` while carrying it out: a repeat waits, then is answered.

    `sent` without `answered` or `refused` means that the outcome must be read back, never that it is sent again.
    """

    request: tuple[str, str]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answered: Answered | None = None
    refused: GatewayError | None = None
    sent: Sent | None = None


class Keys:
    """Requests by their keys; the oldest is forgotten first."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def entry(self, key: str | None, request: tuple[str, str]) -> Entry:
        """The entry of a key for that operation and report.

        Raises:
            IdempotencyKeyMissing: there is no key.
            BadRequest: it is not 1 to 128 printable ASCII characters.
            IdempotencyKeyReused: it was given for another request.
        """
        if not key:
            raise IdempotencyKeyMissing(f"no {HEADER} header")
        if not _KEY.fullmatch(key):
            raise BadRequest(f"{HEADER}: expected 1 to 128 printable ASCII characters without blanks")
        entry = self._entries.setdefault(key, Entry(request))
        if entry.request != request:
            raise IdempotencyKeyReused(f"this {HEADER} was given with another operation or report")
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return entry
