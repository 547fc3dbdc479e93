"""Add the numbers that AutoScribe was told in answer to its questions.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "enrichment_answer",
        *(sa.Column(name, _TEXT, nullable=False) for name in ("study_instance_uid", "number")),
        *(sa.Column(name, _NUMBER, nullable=False) for name in ("is_own", "answered")),
        sa.PrimaryKeyConstraint("study_instance_uid", "number"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("enrichment_answer")
