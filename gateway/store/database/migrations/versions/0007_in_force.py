"""Add a table of the settings that decide which reports a destination must get: one row for each change.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the empty table. The next start records the settings in force and sends nothing because of that."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "in_force",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        *(sa.Column(name, number, nullable=name == "planned") for name in ("since", "planned", "unasked", "asks")),
        *(sa.Column(name, text, nullable=False) for name in ("name", "digest", "settings")),
        sqlite_strict=True,
    )
    op.create_index("in_force_by_name", "in_force", ["name", "number"])


def downgrade() -> None:
    """Drop the table. Planned messages stay unsent; messages that the plan was to stop are sent."""
    op.execute("UPDATE outbox SET state = 'before_start', reason = '' WHERE state IN ('planned', 'left')")
    for state in ("waiting", "held", "rendered", "merged"):
        was = f"state = 'to_stop' AND reason LIKE '{state}:%'"
        op.execute(f"UPDATE outbox SET state = '{state}', reason = '' WHERE {was}")  # noqa: S608 (constants)
    op.execute("UPDATE message SET state = 'queued', reason = '' WHERE state = 'held' AND reason = 'plan'")
    op.drop_table("in_force")
