"""The settings in force as intake reads them: decided by who holds each destination's lease, not by who takes in.

Carries out no clause of a standard; decision D37.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.routing import NOTHING_IN_FORCE, InForce, Revision, Terms
from gateway.routing.filter import Ignore
from gateway.routing.in_force import digest, read, written
from gateway.runtime import clock
from gateway.store.database.engine import Engine
from gateway.store.database.instants import instant
from gateway.store.database.statements import Row
from gateway.store.feed.in_force import EVERY, LATEST, WantedSettings


class SettingsInForce:
    """The settings in force; they are read anew where they have changed. Raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._known = engine, NOTHING_IN_FORCE

    async def current(self) -> InForce:
        """The settings in force; none since later than now."""
        number, now = int((await self._engine.fetch(LATEST))[0][0]), clock.now()
        is_ahead = self._known.until(now) is not self._known  # its holder mends that
        if number != self._known.number or is_ahead:
            self._known = _of_rows(await self._engine.fetch(EVERY))
        return self._known.until(now)


def wanted(terms: Terms, ignores: Iterable[Ignore]) -> WantedSettings:
    """The settings of a destination as they are put in force."""
    settings = written(terms, ignores)
    return WantedSettings(terms.name, settings, digest(settings))


def _of_rows(rows: Sequence[Row]) -> InForce:
    revisions: dict[str, tuple[Revision, ...]] = {}
    for _, name, since, settings in rows:
        one = read(str(name), instant(int(since)), str(settings))
        revisions[one.terms.name] = (*revisions.get(one.terms.name, ()), one)
    if not rows:
        return NOTHING_IN_FORCE
    last = revisions[str(rows[-1][1])][-1]
    return InForce(revisions, last.ignores, int(rows[-1][0]))
