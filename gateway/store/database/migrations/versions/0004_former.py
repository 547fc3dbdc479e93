"""Studies as they were before a move: what is taken back from the patient who was told of is made of them.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table; of moves before it nothing is known."""
    op.create_table(
        "former",
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("kept", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("study_id", "revision"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    """Drop it: what is to be taken back of these moves, whoever keeps the chart must take back by hand."""
    op.drop_table("former")
