"""Add indexes of resources by the set of index terms that they share, and of those without one.

https://www.postgresql.org/docs/current/indexes-partial.html, https://sqlite.org/partialindex.html: each resource is in
one of both. https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with
the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

# Index -> its column, and the rows that it has
_INDEXES = {
    "resource_by_term_set": ("term_set", sa.text("term_set IS NOT NULL")),
    "resource_without_set": ("type", sa.text("term_set IS NULL")),
}


def upgrade() -> None:
    """Add the indexes."""
    for name, (column, rows) in _INDEXES.items():
        op.create_index(name, "resource", [column], sqlite_where=rows, postgresql_where=rows)


def downgrade() -> None:
    """Drop the indexes."""
    for name in _INDEXES:
        op.drop_index(name, "resource")
