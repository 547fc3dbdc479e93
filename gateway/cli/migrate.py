"""`autoscribe-gateway migrate`: bring the database to the schema of this release.

Carries out no clause of a standard. The service may run meanwhile.
Proved by tests/gateway/cli/test_operator.py.
"""

from __future__ import annotations

from gateway.feed.operator.arguments import Say
from gateway.ingest.assembly import engine_of
from gateway.settings import Configuration
from gateway.store.database.migrate import migrate as migrate_store


async def migrate(configuration: Configuration, say: Say) -> int:
    """Migrate the database to the schema of this release, and print the versions."""
    engine = engine_of(configuration)
    async with engine.opened():
        before, after = await migrate_store(engine)
    say(f"the database is at {after}" + ("" if before == after else f", it was at {before}"))
    return 0
