"""Add a sequence of resource numbers on PostgreSQL, so that no writer waits for another to number its resources.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0018"


def upgrade() -> None:
    """Add the sequence; it continues from the last number given out."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE resource_number")
        op.execute("SELECT setval('resource_number', (SELECT resource FROM tick) + 1, false)")


def downgrade() -> None:
    """Drop the sequence; `tick` has the last number again."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("UPDATE tick SET resource = (SELECT last_value FROM resource_number)")
        op.execute("DROP SEQUENCE resource_number")
