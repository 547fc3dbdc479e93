"""Add to resources the number of the set of index terms that they share with others.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEEP = (
    "INSERT INTO term (resource, key, value) SELECT r.number, t.key, t.value FROM resource r"
    " JOIN term t ON t.resource = r.term_set WHERE r.term_set < 0"
)


def upgrade() -> None:
    """Add the column. Resources get their number, and their rows go, when they are next indexed."""
    op.add_column("resource", sa.Column("term_set", _NUMBER))


def downgrade() -> None:
    """Give each resource its own rows again, and drop the column."""
    op.execute(_KEEP)
    op.execute("DELETE FROM term WHERE resource < 0")
    op.drop_column("resource", "term_set")
