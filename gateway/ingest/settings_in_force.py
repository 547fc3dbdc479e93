"""Read each destination's settings in force, which ingest must use: those stored by the process that sends there.

Carries out no clause of a standard; decision D37.
Proved by tests/contract/test_planning.py and tests/contract/test_settings_watch.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.routing import NOTHING_IN_FORCE, InForce, Revision, Terms
from gateway.routing.filter import Ignore
from gateway.routing.in_force import digest, read, written
from gateway.runtime import clock
from gateway.store.database.engine import Engine, Row, instant
from gateway.store.feed.plans import EVERY, LATEST, WantedSettings


class SettingsInForce:
    """Settings in force, read again when they change. Raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._known, self._is_read = engine, NOTHING_IN_FORCE, False

    async def lately(self) -> InForce:
        """Return the settings as last read, possibly old; the write compares them with the present ones."""
        known = self._known.until(clock.now())
        return known if self._is_read and known is self._known else await self.current()

    async def current(self) -> InForce:
        """Return the settings in force now; settings dated in the future count from now."""
        number, now = int((await self._engine.fetch(LATEST))[0][0]), clock.now()
        is_ahead = self._known.until(now) is not self._known  # the lease holder corrects the date
        if number != self._known.number or is_ahead:
            self._known = _of_rows(await self._engine.fetch(EVERY))
        self._is_read = True
        return self._known.until(now)


def wanted(terms: Terms, ignores: Iterable[Ignore]) -> WantedSettings:
    """Return the settings of a destination in the form in which they are stored."""
    settings = written(terms, ignores)
    return WantedSettings(terms.name, settings, digest(settings))


def _of_rows(rows: Sequence[Row]) -> InForce:
    revisions: dict[str, tuple[Revision, ...]] = {}
    for _, name, since, settings in rows:
        revision = read(str(name), instant(int(since)), str(settings))
        revisions[revision.terms.name] = (*revisions.get(revision.terms.name, ()), revision)
    if not rows:
        return NOTHING_IN_FORCE
    last = revisions[str(rows[-1][1])][-1]
    return InForce(revisions, last.ignores, int(rows[-1][0]))
