"""Add what renamed sources and messages that are tried again need: three columns, and an index of held number changes.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_HELD = sa.text("held <> ''")


def upgrade() -> None:
    """Add the columns and the index."""
    op.add_column("inbound", sa.Column("is_again", _NUMBER, nullable=False, server_default=sa.text("0")))
    for name in ("became", "origin"):
        op.add_column("source", sa.Column(name, _TEXT, nullable=False, server_default=sa.text("''")))
    op.create_index("number_change_held", "number_change", ["source", "at"], sqlite_where=_HELD, postgresql_where=_HELD)


def downgrade() -> None:
    """Drop the columns and the index."""
    op.drop_index("number_change_held", "number_change")
    for table, name in (("source", "origin"), ("source", "became"), ("inbound", "is_again")):
        op.drop_column(table, name)
