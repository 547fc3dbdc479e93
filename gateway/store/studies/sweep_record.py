"""How far the sweep of all studies is: the page it stands on, when the last whole one ended, as kept durably.

AutoScribe REST API: `cursor` of `GET /v1/autoScribe/studies`, opaque and of unknown life. Decision D26: until the first
sweep has ended, or when the last is too old, every answer of the index says `incomplete`.
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


@dataclass(frozen=True, slots=True)
class Running:
    """The sweep under way: it stands on the page of `cursor` (empty: the first); pages and studies are those before."""

    started: datetime
    cursor: str = ""
    pages: int = 0
    studies: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The last whole sweep: what was so when it started, and did not change since, is in the index."""

    started: datetime
    ended: datetime
    studies: int


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """`sweeps` ended so far; `starts` are when the last of them started, the newest first, whatever they listed."""

    sweeps: int = 0
    running: Running | None = None
    finished: Finished | None = None
    starts: tuple[datetime, ...] = ()

    @property
    def page_size(self) -> int:
        """Another for each sweep: a study that moving data pushed over the edge of a page is inside one in the next."""
        return _LARGEST_PAGE - self.sweeps % _PAGE_SIZES

    @property
    def studies_seen(self) -> int:
        """Studies listed so far by the sweep under way; how many there are AutoScribe does not say."""
        return self.running.studies if self.running else 0

    @property
    def percent(self) -> int | None:
        """How much of the sweep under way is done, by the studies of the last; None without either. 99 at most."""
        if self.running is None or self.finished is None or not self.finished.studies:
            return None
        return min(99, 100 * self.running.studies // self.finished.studies)

    def is_current(self, now: datetime, max_age: float) -> bool:
        """Whether a whole sweep ended at most so many seconds ago: else answers of the index are `incomplete`."""
        return self.finished is not None and now - self.finished.ended <= timedelta(seconds=max_age)

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "sweeps": self.sweeps,
            "running": self.running and _plain(asdict(self.running)),
            "finished": self.finished and _plain(asdict(self.finished)),
            "starts": [start.isoformat() for start in self.starts],
        }


async def read_record(cursors: StoredCursors) -> SweepRecord:
    """How far the sweep is, as last kept by whatever process runs it."""
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
