"""Give the search index of PostgreSQL shorter indexes, in new tables; rows of earlier releases stay in their own.

https://www.postgresql.org/docs/current/btree.html#BTREE-DEDUPLICATION: an index of few columns holds equal values once.
https://www.postgresql.org/docs/current/ddl-inherit.html: a query of `term` reads the old table, too. Its rows come
into the new one when their resource is next indexed. Nothing changes in SQLite.
https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0019"
down_revision = "0018"

# Table -> the columns after `resource`, those of the old index, and the new index with its columns
_TABLES: Final = {
    "term": ('key BIGINT NOT NULL, value TEXT COLLATE "C" NOT NULL', "key, value", "term_by_value"),
    "moment": ("key BIGINT NOT NULL, low BIGINT NOT NULL, high BIGINT NOT NULL", "key, low, high", "moment_by_low"),
}
_UP: Final = """
ALTER TABLE {table} RENAME TO {table}_of_earlier_releases;
CREATE TABLE {table} (resource BIGINT NOT NULL, {columns});
CREATE INDEX {index} ON {table} ({indexed});
CREATE INDEX {table}_by_resource ON {table} (resource);
DO $$ BEGIN
    IF EXISTS (SELECT 1 FROM {table}_of_earlier_releases) THEN
        ALTER TABLE {table}_of_earlier_releases INHERIT {table};
    ELSE
        DROP TABLE {table}_of_earlier_releases;
    END IF;
END $$;
"""
_DOWN: Final = """
ALTER TABLE {table} RENAME TO {table}_of_this_release;
CREATE TABLE IF NOT EXISTS {table}_of_earlier_releases (
    resource BIGINT NOT NULL, {columns}, CONSTRAINT {table}_pkey PRIMARY KEY (resource, {indexed})
);
CREATE INDEX IF NOT EXISTS {table}_forward ON {table}_of_earlier_releases ({indexed}, resource);
INSERT INTO {table}_of_earlier_releases SELECT * FROM ONLY {table}_of_this_release ON CONFLICT DO NOTHING;
DO $$ BEGIN
    IF EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = '{table}_of_this_release'::regclass) THEN
        ALTER TABLE {table}_of_earlier_releases NO INHERIT {table}_of_this_release;
    END IF;
END $$;
DROP TABLE {table}_of_this_release;
ALTER TABLE {table}_of_earlier_releases RENAME TO {table};
"""


def upgrade() -> None:
    """Begin new tables, which the old ones belong to. No row is read but one of each."""
    _run(_UP)


def downgrade() -> None:
    """Bring all rows together in the old tables."""
    _run(_DOWN)


def _run(script: str) -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    for table, (columns, indexed, index) in _TABLES.items():
        op.execute(script.format(table=table, columns=columns, indexed=indexed, index=index))
