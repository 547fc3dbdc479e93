"""Add a table of signed reports that AutoScribe cancelled, and have the studies ingested again that have such a report.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# What was cancelled before becomes an open item too. An ingest from the stored study sends nothing
_INGEST_AGAIN = (
    "INSERT INTO control (verb, argument, asked) SELECT DISTINCT 'refresh', study_id, 0 FROM issue"
    " WHERE code = 'cancelled-after-sign'"
)


def upgrade() -> None:
    """Add the table and its indexes."""
    op.create_table(
        "cancelled_report",
        sa.Column("report_id", _TEXT, primary_key=True),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("study_id", "what", "version", "state")),
        *(sa.Column(name, _NUMBER, nullable=False) for name in ("is_critical", "since")),
        sqlite_strict=True,
    )
    op.create_index("cancelled_by_study", "cancelled_report", ["study_id"])
    op.create_index("cancelled_by_state", "cancelled_report", ["state", "since"])
    op.execute(_INGEST_AGAIN)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("cancelled_report")
