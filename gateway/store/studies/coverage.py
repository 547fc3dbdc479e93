"""Track AutoScribe's list of studies: studies to fetch, studies not listed since a given time, positions of the loops.

AutoScribe REST API: `GET /v1/autoScribe/studies`; decisions D21 and D26.
Proved by tests/contract/test_coverage.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.runtime import clock
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Statement, ask, ask_each
from gateway.store.studies.erased import erased_among
from gateway.store.studies.kept import unpacked

Json = Mapping[str, Any]
_AT_A_TIME: Final = 500
_FEW: Final = 50
_SECONDS: Final = 60.0
_KNOWN: Final = Statement("SELECT study_id, listed_digest, fetched FROM study WHERE study_id IN listed(:study_ids)")
_LIST: Final = Statement("UPDATE study SET listed = :now WHERE study_id = :study_id")
_MISSING: Final = Statement("SELECT study_id FROM study WHERE has_signed = 1 AND listed < :before AND is_external = 0")
_STUDIES: Final = Statement("SELECT study_id FROM study WHERE study_id > :after ORDER BY study_id LIMIT :most")
_STORED: Final = Statement("SELECT count(*) FROM study")
# Ids are random: the first ones are a sample
_SAMPLE: Final = Statement(
    "SELECT study_id, received FROM study WHERE study_id > :after AND is_external = 0 ORDER BY study_id LIMIT :most"
)
_GET: Final = Statement("SELECT value FROM cursor WHERE name = :name")
_PUT: Final = Statement(
    "INSERT INTO cursor (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


def digest_of(value: Any) -> str:
    """Return a digest of JSON that does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


async def all_studies(engine: Engine) -> AsyncIterator[str]:
    """Yield the ids of all stored studies, reading a few hundred at a time."""
    after = ""
    while rows := await engine.fetch(_STUDIES, after=after, most=_AT_A_TIME):
        for (study_id,) in rows:
            yield str(study_id)
        after = str(rows[-1][0])


async def has_studies(engine: Engine) -> bool:
    """True if a study is stored."""
    return bool(await engine.fetch(_STUDIES, after="", most=1))


async def studies_stored(engine: Engine) -> int:
    """Count the stored studies."""
    return int((await engine.fetch(_STORED))[0][0])


async def sample(engine: Engine, most: int) -> AsyncIterator[tuple[Json, Any]]:
    """Yield at most this many stored studies, taken at random, each with its reports, as AutoScribe sent both."""
    after, left = "", most
    while left and (rows := await engine.fetch(_SAMPLE, after=after, most=min(left, _FEW))):
        for _, packed in rows:
            received = unpacked(packed)
            yield received["study"], received["reports"]
        after, left = str(rows[-1][0]), left - len(rows)


class StoredStudies:
    """Knowledge of the stored studies, so that the crawl does not fetch unchanged ones."""

    def __init__(self, engine: Engine, site_key: bytes) -> None:
        self._engine, self._site_key = engine, site_key

    async def stale(self, listed: Sequence[Json], stale_before: Callable[[Json], datetime]) -> list[str]:
        """Note that these studies are listed now, and return the ids of those that must be fetched.

        Those are studies that are unknown, that differ from the stored ones, or whose reports were fetched before the
        instant that `stale_before` gives. A study that was erased on order is none of them.
        """
        ids = [str(one["studyId"]) for one in listed]
        rows = await self._engine.fetch(_KNOWN, study_ids=json.dumps(ids))
        known = {str(study_id): (str(digest), int(fetched)) for study_id, digest, fetched in rows}
        now = micros(clock.now())
        if known:
            # In one order, so that two processes that note the same studies do not deadlock
            notes = [{"study_id": study_id, "now": now} for study_id in sorted(known)]
            await self._engine.do(lambda: ask_each(_LIST, notes))
        erased = await erased_among(self._engine, [one for one in ids if one not in known], self._site_key)
        return [
            study_id
            for study_id, one in zip(ids, listed, strict=True)
            if study_id not in erased
            and (
                study_id not in known
                or known[study_id][0] != digest_of(one)
                or known[study_id][1] < micros(stale_before(one))
            )
        ]

    async def missing(self, sweep_started: datetime) -> list[str]:
        """Return the ids of studies with signed reports that were last listed or ingested before that instant.

        The crawl asks with the start of the sweep that ended, and with that of an earlier one.
        """
        compiled = _MISSING.compiled(self._engine.dialect)  # every study, if AutoScribe lists none
        values = compiled.positional({"before": micros(sweep_started)})
        rows = await self._engine.scan(compiled.sql, values, _SECONDS)
        return sorted(str(study_id) for (study_id,) in rows)


class StoredCursors:
    """Positions of loops, stored by name as JSON."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def get(self, name: str) -> Json | None:
        """Return the value last put under that name, None if there is none."""
        rows = await self._engine.fetch(_GET, name=name)
        value: Json | None = json.loads(rows[0][0]) if rows else None
        return value

    async def put(self, name: str, value: Json) -> None:
        """Store a value under a name."""
        await self._engine.do(lambda: ask(_PUT, name=name, value=json.dumps(dict(value))))
