"""Store the progress of the sweep (one pass over all AutoScribe studies): the page reached, and the last full pass.

AutoScribe REST API: `cursor` of `GET /v1/autoScribe/studies`, opaque and of unknown life. Decision D26: before the
first sweep ends, or if the last one is too old, every answer of the index says `incomplete`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.store.studies.coverage import StoredCursors
from gateway.store.studies.positions import kept

NAME: Final = "sweep"
_LARGEST_PAGE: Final = 100
_PAGE_SIZES: Final = 8
SMALLEST_PAGE: Final = _LARGEST_PAGE - _PAGE_SIZES + 1


@dataclass(frozen=True, slots=True)
class Running:
    """Sweep under way, at the page of `cursor` (empty: the first). Pages and studies count those before it."""

    started: datetime
    cursor: str = ""
    pages: int = 0
    studies: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """Last whole sweep: whatever existed when it started, and has not changed since, is in the index."""

    started: datetime
    ended: datetime
    studies: int


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """Progress of sweeps. `sweeps` have ended; `starts` are the start times of the last ones, newest first."""

    sweeps: int = 0
    running: Running | None = None
    finished: Finished | None = None
    starts: tuple[datetime, ...] = ()

    @property
    def page_size(self) -> int:
        """Page size, different for each sweep: a study missed at the edge of a page falls inside a page next time."""
        return _LARGEST_PAGE - self.sweeps % _PAGE_SIZES

    @property
    def studies_seen(self) -> int:
        """Number of studies that the present sweep has listed; AutoScribe does not say how many there are."""
        return self.running.studies if self.running else 0

    @property
    def most_studies(self) -> int:
        """Number of studies in AutoScribe, as far as it is known: those of the last sweep, or of the present one."""
        return max(self.studies_seen, self.finished.studies if self.finished else 0)

    @property
    def percent(self) -> int | None:
        """Share of the present sweep that is done, by the size of the last; None without either. 99 at most."""
        if self.running is None or self.finished is None or not self.finished.studies:
            return None
        return min(99, 100 * self.running.studies // self.finished.studies)

    def is_current(self, now: datetime, max_age: float) -> bool:
        """True if a whole sweep ended at most that many seconds ago. Otherwise, index answers are `incomplete`."""
        return self.finished is not None and now - self.finished.ended <= timedelta(seconds=max_age)

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON for storage."""
        return {
            "sweeps": self.sweeps,
            "running": self.running and _plain(asdict(self.running)),
            "finished": self.finished and _plain(asdict(self.finished)),
            "starts": [start.isoformat() for start in self.starts],
        }


async def read_record(cursors: StoredCursors) -> SweepRecord:
    """Read the sweep's progress, as last stored by the process that runs it."""
    return await kept(cursors, NAME, _record, SweepRecord())


def _record(value: Mapping[str, Any]) -> SweepRecord:
    running, finished = value["running"], value["finished"]
    return SweepRecord(
        value["sweeps"],
        Running(**_with_instants(running)) if running else None,
        Finished(**_with_instants(finished)) if finished else None,
        tuple(datetime.fromisoformat(start) for start in value["starts"]),
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in values.items()}


def _with_instants(values: Mapping[str, Any]) -> dict[str, Any]:
    instants = {key: datetime.fromisoformat(values[key]) for key in ("started", "ended") if key in values}
    return {**values, **instants}
