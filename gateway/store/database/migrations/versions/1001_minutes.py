"""Add the table `minute`: messages delivered in a minute, by the seconds from signature to ACK.

https://www.sqlite.org/withoutrowid.html: rows of few small columns, read in runs of one destination.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1001"
down_revision = "1000"


def upgrade() -> None:
    """Create the table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "minute",
        sa.Column("destination", text, nullable=False),
        *(sa.Column(name, number, nullable=False) for name in ("at", "within", "messages")),
        sa.PrimaryKeyConstraint("destination", "at", "within"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table and its rows."""
    op.drop_table("minute")
