"""The settings by which it is decided what a destination is owed: each change of them a row.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table, empty: at the next start what the settings say is in force, and sends nothing by that."""
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
    """Drop the table; what a plan would have sent stays unsent, what it would have stopped goes."""
    op.execute("UPDATE outbox SET state = 'before_start', reason = '' WHERE state IN ('planned', 'left')")
    for state in ("waiting", "held", "rendered", "merged"):
        was = f"state = 'to_stop' AND reason LIKE '{state}:%'"
        op.execute(f"UPDATE outbox SET state = '{state}', reason = '' WHERE {was}")  # noqa: S608 (constants)
    op.execute("UPDATE message SET state = 'queued', reason = '' WHERE state = 'held' AND reason = 'plan'")
    op.drop_table("in_force")
