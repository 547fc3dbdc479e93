"""Add the table of studies that were erased on order, each as a digest.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the table."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "erased",
        sa.Column("digest", text, primary_key=True),
        sa.Column("erased", number, nullable=False),
        sqlite_strict=True,
    )


def downgrade() -> None:
    """Drop the table. The earlier release reads erased studies again: erase them again after an upgrade."""
    op.drop_table("erased")
