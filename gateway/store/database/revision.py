"""Check that a database has the schema revision of this release, without loading Alembic.

Carries out no clause of a standard. Loading alembic takes longer than most commands, and few databases need it.
Proved by tests/contract/test_migrations.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.runtime.errors import StoreUnavailable
from gateway.store.database.engine import Engine

_SCRIPTS: Final = Path(__file__).parent / "migrations" / "versions"


def newest() -> str:
    """Return the revision of this release: the number at the start of the last script's name."""
    return max(path.name.partition("_")[0] for path in _SCRIPTS.glob("[0-9]*.py"))


async def is_current(engine: Engine) -> bool:
    """True if an open database has the tables of this release; False if it has none or cannot be read."""
    try:
        rows = await engine.query("SELECT version_num FROM alembic_version", [])
    except StoreUnavailable:
        return False
    return [str(one) for (one,) in rows] == [newest()]
