"""Add what renamed sources and messages that are tried again need: three columns.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns."""
    op.add_column("inbound", sa.Column("is_again", _NUMBER, nullable=False, server_default=sa.text("0")))
    for name in ("became", "origin"):
        op.add_column("source", sa.Column(name, _TEXT, nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    """Drop the columns."""
    for table, name in (("source", "origin"), ("source", "became"), ("inbound", "is_again")):
        op.drop_column(table, name)
