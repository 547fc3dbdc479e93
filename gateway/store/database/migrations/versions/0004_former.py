"""Add a table of studies before a change of patient, to compose withdrawals for the earlier patient.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table. Earlier moves have no row."""
    op.create_table(
        "former",
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("kept", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("study_id", "revision"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    """Drop the table. Withdrawals of pending moves must then be made by hand in the receiving system."""
    op.drop_table("former")
