"""Add a column for the time until which an old copy of a message may still arrive at the receiver.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column, with a partial index of the few rows that have a value."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("message", sa.Column("stale_until", number, nullable=True))
    few = sa.text("stale_until IS NOT NULL")
    columns = ["destination", "stale_until"]
    op.create_index("message_by_stale", "message", columns, sqlite_where=few, postgresql_where=few)


def downgrade() -> None:
    """Drop the index and the column."""
    op.drop_index("message_by_stale", "message")
    op.drop_column("message", "stale_until")
