"""Keep the user and host of whoever acted, in each row of the audit; for rows before it they are not known.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns; the reason has one already."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    for name in ("user", "host"):
        op.add_column("audit", sa.Column(name, text, nullable=True))


def downgrade() -> None:
    """Drop the columns: who did it is no longer known."""
    for name in ("host", "user"):
        op.drop_column("audit", name)
