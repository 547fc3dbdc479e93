"""Add the persons judged to an operator's patient verdict, and the time since which the study names another person.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns. The next ingest of a study fills in the persons that its verdicts judged."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("verdict", sa.Column("judged", text, nullable=False, server_default=sa.text("''")))
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("verdict", sa.Column("reopened", number, nullable=True))


def downgrade() -> None:
    """Drop the columns. Each verdict then applies for ever."""
    for name in ("reopened", "judged"):
        op.drop_column("verdict", name)
