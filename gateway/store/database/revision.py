"""Check which schema revision a database has, without loading Alembic.

Carries out no clause of a standard. Loading alembic takes longer than most commands, and few databases need it.
Proved by tests/contract/test_migrations.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.runtime.errors import ConfigError, StoreUnavailable
from gateway.store.database.engine import Engine

_SCRIPTS: Final = Path(__file__).parent / "migrations" / "versions"
_TOO_OLD: Final = (
    "the database was made before release 1.0.0, and no release can bring it forward",
    "Keep it, name a new, empty one, and set `start` of each destination to the time up to which everything was sent,"
    " so that nothing is sent twice: docs/operations.md, A database from before 1.0.0.",
)
_TOO_NEW: Final = (
    "the database is of a newer release of the gateway",
    "Run that release, or restore a copy from before it.",
)


def newest() -> str:
    """Return the revision of this release: the number at the start of the last script's name."""
    return revisions()[-1]


def revisions() -> list[str]:
    """Return every revision of this release in order."""
    return sorted(path.name.partition("_")[0] for path in _SCRIPTS.glob("[0-9]*.py"))


async def is_current(engine: Engine) -> bool:
    """True if an open database has the tables of this release; False if it has none or cannot be read."""
    return await revision_of(engine) == newest()


async def revision_of(engine: Engine) -> str | None:
    """Return the revision of an open database; None if it has no tables or cannot be read."""
    try:
        rows = await engine.query("SELECT version_num FROM alembic_version", [])
    except StoreUnavailable:
        return None
    return str(rows[0][0]) if rows else None


def require_known(revision: str) -> None:
    """Refuse the revision of a database that this release can neither read nor migrate.

    Raises:
        ConfigError: the database is from before release 1.0.0, or of a newer release.
    """
    known = revisions()
    if revision not in known:
        raise ConfigError("settings", "database.url", *(_TOO_OLD if revision < known[0] else _TOO_NEW))
