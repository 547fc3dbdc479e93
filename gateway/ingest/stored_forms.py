"""Compare the form of stored resources and index rows with what this release and these settings write, and warn.

https://hl7.org/fhir/R4/references.html#canonical, decisions D7, D30 and D44. `rerender`, which writes all anew, ends a
difference.
Proved by tests/gateway/ingest/test_stored_forms.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.runtime.log import get_logger
from gateway.settings import Configuration
from gateway.store.database import facts
from gateway.store.database.engine import Engine
from gateway.store.studies.crawling import has_studies

_ZONE: Final = "zone"
_CANONICAL: Final = "canonical"
_UNKNOWN: Final = "unrecorded"  # by an earlier release
# Fact -> event of the log, and what check-config says
_SAID: Final = {
    _ZONE: ("index-of-another-zone", "fhir.time_zone: dates of stored resources may be indexed in another zone ({})"),
    facts.INDEX: ("index-of-an-older-release", "stored resources are indexed as an older release did"),
    _CANONICAL: ("canonical-of-other-settings", "fhir.canonical: stored resources may have URLs of another base ({})"),
}
_REMEDY: Final = "after the start run rerender"


class StoredForm(NamedTuple):
    """Difference in the form of stored resources: the fact that records it, and both values."""

    fact: str
    stored: tuple[str, ...]

    @property
    def event(self) -> str:
        """Name of the log event."""
        return _SAID[self.fact][0]

    def __str__(self) -> str:
        """Say it to an operator, with the remedy."""
        return f"{_SAID[self.fact][1].format(', '.join(self.stored))}: {_REMEDY}"


async def differences(engine: Engine, configuration: Configuration) -> list[StoredForm]:
    """Return how stored resources differ from what this release and these settings write. Writes nothing."""
    if not await has_studies(engine):
        return []
    found = []
    for fact, present in _present(configuration).items():
        recorded = (await facts.value_of(engine, fact) or _UNKNOWN).split()
        if others := tuple(one for one in recorded if one != present):
            found.append(StoredForm(fact, others))
    return found


async def record(engine: Engine, configuration: Configuration, *, writes: bool) -> None:
    """Log differences, and record the form of resources from now on, if this process `writes` them.

    A fact lists all values since the last `rerender`: to go back to a former setting does not change what was written
    in between.
    """
    for one in await differences(engine, configuration):
        get_logger().warning(one.event, action="rerender", formerly=one.stored[0])
        await facts.claimed(engine, one.fact, one.stored[0])
    is_empty = not await has_studies(engine)
    for fact, present in _present(configuration).items():
        recorded = (await facts.claimed(engine, fact, present)).split()
        if writes and present not in recorded:
            await facts.put(engine, fact, " ".join([present] if is_empty else [*recorded, present]))


async def rendered_anew(engine: Engine, configuration: Configuration) -> None:
    """Record that all resources were rendered and indexed by this release and these settings."""
    for fact, present in _present(configuration).items():
        await facts.put(engine, fact, present)


def _present(configuration: Configuration) -> dict[str, str]:
    """Return the facts that this release and these settings record."""
    return {
        _ZONE: str(configuration.zone),
        facts.INDEX: facts.INDEX_REVISION,
        _CANONICAL: configuration.site.canonical,
    }
