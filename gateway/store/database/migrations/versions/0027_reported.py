"""Add to messages the instant of OBR-22, and a digest of the status and the flags of their lines.

HL7 v2.5.1 §7.4.1.22. https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not
change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns; of earlier messages, neither is known."""
    op.add_column("message", sa.Column("reported", _NUMBER, nullable=True))
    op.add_column("message", sa.Column("statuses", _TEXT, nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    """Drop the columns."""
    for name in ("statuses", "reported"):
        op.drop_column("message", name)
