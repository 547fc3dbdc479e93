"""Add a table of news about orders of studies that were sent: an order that came late, or that was cancelled since.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table and its indexes."""
    op.create_table(
        "order_news",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("study_id", "destination", "code", "outcome")),
        sa.Column("at", _NUMBER, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("order_news_by_outcome", "order_news", ["destination", "outcome", "at"])
    op.create_index("order_news_by_study", "order_news", ["study_id"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("order_news")
