"""Add a digest of the content to claims, and an index by patient and digest.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_COLUMNS = ["patient_id", "content", "study_date", "signed", "study_id"]


def upgrade() -> None:
    """Add column and index. Claims get their digest as studies of their patient come in."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("claim", sa.Column("content", text, nullable=False, server_default=sa.text("''")))
    op.create_index("claim_by_content", "claim", _COLUMNS)


def downgrade() -> None:
    """Drop column and index."""
    op.drop_index("claim_by_content", "claim")
    op.drop_column("claim", "content")
