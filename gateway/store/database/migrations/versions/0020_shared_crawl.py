"""Add a sequence of resource numbers on PostgreSQL, and the tables through which processes share the crawl.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add tables, index and sequence; the sequence continues from the last number given out."""
    op.create_table(
        "to_read",
        sa.Column("study_id", _TEXT, primary_key=True),
        sa.Column("loop", _TEXT, nullable=False),
        sa.Column("listed", _TEXT),
        *(sa.Column(name, _NUMBER, nullable=False) for name in ("due", "asked", "attempts")),
        sa.Column("holder", _TEXT, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("to_read_by_due", "to_read", ["due"])
    op.create_table(
        "crawler",
        sa.Column("holder", _TEXT, primary_key=True),
        *(sa.Column(name, _NUMBER, nullable=False) for name in ("joined", "until", "closed")),
        sqlite_strict=True,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE resource_number")
        op.execute("SELECT setval('resource_number', (SELECT resource FROM tick) + 1, false)")


def downgrade() -> None:
    """Drop tables and sequence; `tick` has the last number again."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("UPDATE tick SET resource = (SELECT last_value FROM resource_number)")
        op.execute("DROP SEQUENCE resource_number")
    op.drop_table("crawler")
    op.drop_table("to_read")
