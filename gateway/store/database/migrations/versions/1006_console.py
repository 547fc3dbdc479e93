"""Add what the console keeps: certificates with the run under way, and alerts that are over with their begin.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "1006"
down_revision = "1005"

_NUMBER: Final[Any] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT: Final[Any] = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the three tables, and the column of an alert."""
    op.add_column("alert", sa.Column("began", _NUMBER, nullable=False, server_default=sa.text("0")))
    op.create_table(
        "past_alert",
        *(sa.Column(name, _NUMBER, nullable=False) for name in ("ended", "began", "count")),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("code", "destination", "acknowledged_by")),
        sa.Column("acknowledged_at", _NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("destination", "code", "ended"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("past_alert_by_ended", "past_alert", ["ended"])
    op.create_table(
        "certificate_run",
        sa.Column("one", _NUMBER, autoincrement=False, nullable=False),
        *(sa.Column(name, _NUMBER, nullable=False) for name in ("began", "seen", "done")),
        *(sa.Column(name, _NUMBER, nullable=True) for name in ("total", "ended")),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("wanted", "asked_by", "fault")),
        sa.PrimaryKeyConstraint("one"),
        sqlite_strict=True,
    )
    op.create_table(
        "certificate",
        *(sa.Column(name, _TEXT, nullable=False) for name in ("destination", "asked_by", "document")),
        *(sa.Column(name, _NUMBER, nullable=False) for name in ("began", "ended")),
        sa.PrimaryKeyConstraint("destination"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    """Drop the tables and the column: nobody sees the certificates and the past alerts any more."""
    op.drop_table("certificate")
    op.drop_table("certificate_run")
    op.drop_table("past_alert")
    op.drop_column("alert", "began")
