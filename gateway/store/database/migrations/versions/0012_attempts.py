"""Add a table of the attempts to send each message, with the answers. Earlier attempts have no row.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the table, and an index of messages by patient."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "attempt",
        sa.Column("message", number, nullable=False),
        sa.Column("place", number, nullable=False),
        sa.Column("begun", number, nullable=True),
        sa.Column("ended", number, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("reason", text, nullable=False),
        sa.Column("ack", text, nullable=False),
        sa.Column("connection", text, nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message", "place"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("message_by_patient", "message", ["patient_id"])


def downgrade() -> None:
    """Drop the table and the index. The number of attempts and their connections are lost."""
    op.drop_index("message_by_patient", "message")
    op.drop_table("attempt")
