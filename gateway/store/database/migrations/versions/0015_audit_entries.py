"""Add the tables of loaded audit entries: the segments, the entries, and whom and what each is about.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables and their indexes."""
    op.create_table(
        "audit_segment",
        sa.Column("segment", _TEXT, primary_key=True),
        sa.Column("sequence", _NUMBER, nullable=False),
        sa.Column("size", _NUMBER, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "audit_entry",
        sa.Column("segment", _TEXT, primary_key=True),
        sa.Column("sequence", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("at", _NUMBER, nullable=False),
        sa.Column("client", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("status", _NUMBER, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "audit_subject",
        sa.Column("subject", _TEXT, primary_key=True),
        sa.Column("at", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("segment", _TEXT, primary_key=True),
        sa.Column("sequence", _NUMBER, primary_key=True, autoincrement=False),
        sqlite_strict=True,
    )
    op.create_index("audit_entry_by_at", "audit_entry", ["at"])
    op.create_index("audit_entry_by_client", "audit_entry", ["client", "at"])


def downgrade() -> None:
    """Drop the tables. The files of the audit journal remain, and an upgrade loads them anew."""
    for table in ("audit_subject", "audit_entry", "audit_segment"):
        op.drop_table(table)
