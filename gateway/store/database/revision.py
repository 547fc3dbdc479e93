"""The revision of a database, held against that of this release without the tool that makes migrations.

Carries out no clause of a standard. To load the tool takes longer than most commands, and most databases need none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.runtime.errors import StoreUnavailable
from gateway.store.database.engine import Engine

_SCRIPTS: Final = Path(__file__).parent / "migrations" / "versions"


def newest() -> str:
    """The revision of this release: the number with which the name of the last script begins."""
    return max(path.name.partition("_")[0] for path in _SCRIPTS.glob("[0-9]*.py"))


async def is_current(engine: Engine) -> bool:
    """True where a database that is open has the tables of this release; False where it has none or cannot be read."""
    try:
        rows = await engine.query("SELECT version_num FROM alembic_version", [])
    except StoreUnavailable:
        return False
    return [str(one) for (one,) in rows] == [newest()]
