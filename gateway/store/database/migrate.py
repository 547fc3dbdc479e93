"""Migrate a database to the schema of this release, or back to an earlier one.

https://alembic.sqlalchemy.org/en/latest/offline.html: SQLite is migrated on a connection, PostgreSQL by a script that
is written first, since alembic cannot use asyncpg without the machinery of an ORM.
Proved by tests/contract/test_migrations.py and tests/gateway/store/database/test_trouble.py.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import DBAPIError

from gateway.store.database.postgres import MIGRATION_TIME, Postgres
from gateway.store.database.probe import newest, require_known, revisions
from gateway.store.database.sqlite import Sqlite
from gateway.store.database.trouble import DatabasePlace, unavailable

HEAD: Final = "head"
BASE: Final = "base"
_FOLDER: Final = Path(__file__).parent / "migrations"


async def migrate(engine: Sqlite | Postgres, target: str = HEAD) -> tuple[str, str]:
    """Migrate the database to a revision; return the revisions before and after (`base` means no tables).

    The migration commits as a whole, and only one process migrates at a time. PostgreSQL must be open, SQLite need not
    be.

    Raises:
        ConfigError: the database is from before release 1.0.0, or of a newer release.
        StoreUnavailable: the database cannot be reached.
    """
    if isinstance(engine, Sqlite):
        await asyncio.to_thread(engine.make_file)
        return await asyncio.to_thread(_migrate_sqlite, engine.path, target)
    async with engine.migrating() as connection:
        has_version = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        revision = await connection.fetchval("SELECT version_num FROM alembic_version") if has_version else None
        before = str(revision or BASE)
        wanted = _checked(before, target)
        if before != wanted:
            output = io.StringIO()
            _run(_config(output), before, target, f"{before}:{target}", sql=True)
            if has_version and before == BASE:  # a downgrade left it empty; a script from the base creates it
                await connection.execute("DROP TABLE alembic_version")
            await connection.execute(output.getvalue(), timeout=MIGRATION_TIME)
    return before, wanted


def _migrate_sqlite(path: Path, target: str) -> tuple[str, str]:
    engine = create_engine(URL.create("sqlite", database=str(path)), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the library begins none before CREATE TABLE
            before = MigrationContext.configure(connection).get_current_revision() or BASE
            wanted = _checked(before, target)
            if before != wanted:
                config = _config(io.StringIO())
                config.attributes["connection"] = connection
                _run(config, before, target, target, sql=False)
            connection.exec_driver_sql("COMMIT")
            return before, wanted
    except DBAPIError as error:
        raise unavailable(error.orig or error, DatabasePlace(file=str(path))) from None
    finally:
        engine.dispose()


def _run(config: Config, before: str, target: str, span: str, *, sql: bool) -> None:
    order = [BASE, *revisions()]
    is_up = target == HEAD or order.index(target) > order.index(before)
    (command.upgrade if is_up else command.downgrade)(config, span, sql=sql)


def _checked(before: str, target: str) -> str:
    """Return the target as a revision number."""
    if before != BASE:
        require_known(before)
    return newest() if target == HEAD else target


def _config(output: io.StringIO) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    return config
