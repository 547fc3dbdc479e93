"""Add user and host of the operator to each row of the audit table; unknown for earlier rows.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns. The reason has a column already."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    for name in ("user", "host"):
        op.add_column("audit", sa.Column(name, text, nullable=True))


def downgrade() -> None:
    """Drop the columns. The actors of audit rows are lost."""
    for name in ("host", "user"):
        op.drop_column("audit", name)
