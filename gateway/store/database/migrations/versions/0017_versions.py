"""Add the index of versions by the instant at which each was stored, for the history of a type and of the system.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the index."""
    op.create_index("version_by_update", "version", ["updated", "resource"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("version_by_update", "version")
