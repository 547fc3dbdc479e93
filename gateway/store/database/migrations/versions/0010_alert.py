"""Add a table of raised alerts and sent notifications. Alerts raised before the upgrade are notified once more.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table and its index."""
    texts: list[sa.Column[Any]] = [sa.Column(name, _TEXT, nullable=False) for name in ("cases", "told", "studies")]
    op.create_table(
        "alert",
        sa.Column("code", _TEXT, nullable=False),
        sa.Column("destination", _TEXT, nullable=False),
        sa.Column("count", _NUMBER, nullable=False),
        *texts,
        sa.Column("acknowledged", _NUMBER, nullable=False, server_default=sa.text("0")),
        sa.Column("acknowledged_at", _NUMBER, nullable=True),
        sa.Column("acknowledged_by", _TEXT, nullable=False, server_default=sa.text("''")),
        sa.PrimaryKeyConstraint("code", "destination"),
        sqlite_strict=True,
    )
    op.create_index("alert_by_destination", "alert", ["destination"])


def downgrade() -> None:
    """Drop the table. The earlier release notifies standing alerts once more."""
    op.drop_table("alert")
