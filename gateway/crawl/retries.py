"""Queue of studies whose ingest failed: stored, limited in size, and retried a few times at growing intervals.

Carries out no clause of a standard. A study that is given up, or finds no room, is not lost: the store still counts it
as stale, and the next sweep that lists it has it fetched (decision D26).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.runtime.errors import GatewayError, UpstreamKeyRefused, UpstreamNotFound
from gateway.store.studies.crawling import StoredCursors, kept_position

MOST: Final = 1_000
ATTEMPTS: Final = 10
FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(hours=1)
_STUDIES: Final = "studies"
_MAY_CHANGE: Final = (UpstreamNotFound, UpstreamKeyRefused)  # not visible yet, or a key that may be corrected


@dataclass(frozen=True, slots=True)
class _Entry:
    attempts: int
    due: datetime


class Retries:
    """Studies that a loop will try again, stored under its name; call `load` first, `save` before its position."""

    def __init__(self, name: str, cursors: StoredCursors) -> None:
        self._name, self._cursors = name, cursors
        self._entries: dict[str, _Entry] = {}
        self._is_loaded = False
        self._changes = self._saved = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def load(self) -> None:
        """Read the stored studies, once."""
        if not self._is_loaded:
            self._entries = await kept_position(self._cursors, self._name, _read, {})
            self._is_loaded = True

    async def save(self) -> None:
        """Store changes durably."""
        changes = self._changes
        if changes != self._saved:
            await self._cursors.put(self._name, {_STUDIES: {key: _written(one) for key, one in self._entries.items()}})
            self._saved = changes

    def take_due(self, now: datetime) -> list[str]:
        """Return the studies that are due, and schedule their next try, in case they are not settled."""
        due = [study_id for study_id, entry in self._entries.items() if entry.due <= now]
        for study_id in due:
            attempts = self._entries[study_id].attempts
            self._entries[study_id] = _Entry(attempts, now + wait_after(attempts + 1))
        return due

    def put_off(self, study_id: str, now: datetime) -> bool:
        """Schedule another try; False if there were enough tries, or the queue is full: then call `settle`."""
        entry = self._entries.get(study_id)
        attempts = entry.attempts + 1 if entry else 1
        if attempts >= ATTEMPTS or (entry is None and len(self._entries) >= MOST):
            return False
        self._entries[study_id] = _Entry(attempts, now + wait_after(attempts))
        self._changes += 1
        return True

    def settle(self, study_id: str) -> None:
        """Remove a study that was ingested or given up."""
        if self._entries.pop(study_id, None):
            self._changes += 1


def may_help(error: BaseException) -> bool:
    """True if another try may help; also for an error that is none of the gateway's own."""
    if isinstance(error, GatewayError):
        return error.retry != "permanent" or isinstance(error, _MAY_CHANGE)
    return True


def wait_after(attempts: int) -> timedelta:
    """Return how long to wait after that many failed tries."""
    doublings: int = 2 ** (attempts - 1)
    return min(FIRST_WAIT * doublings, LONGEST_WAIT)


def _written(entry: _Entry) -> dict[str, Any]:
    return {"attempts": entry.attempts, "due": entry.due.isoformat()}


def _read(value: Mapping[str, Any]) -> dict[str, _Entry]:
    return {
        study_id: _Entry(int(entry["attempts"]), datetime.fromisoformat(entry["due"]))
        for study_id, entry in value[_STUDIES].items()
    }
