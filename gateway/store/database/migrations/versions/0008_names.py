"""Add columns for a destination's earlier names, and for the time when an operator retired the destination.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns. Every destination keeps its name, and none is retired."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    for name in ("became", "origin"):
        op.add_column("destination", sa.Column(name, text, nullable=False, server_default=sa.text("''")))
    op.add_column("destination", sa.Column("retired", number, nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    """Drop the columns. Later messages get an MSH-10 made from the destination's present name."""
    for name in ("retired", "origin", "became"):
        op.drop_column("destination", name)
