"""Add a digest of each message's content, to see after the restore of an old backup what was sent since that backup.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column, empty for existing messages."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("message", sa.Column("told", text, nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("message", "told")
