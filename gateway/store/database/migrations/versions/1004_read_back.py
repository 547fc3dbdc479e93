"""Add the table `read_back`: messages that are looked up in the EHR after their acknowledgement, with what was found.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "1004"
down_revision = "1002"

_NUMBER: Final[Any] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT: Final[Any] = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table, and its indexes of what is due and of what was found."""
    op.create_table(
        "read_back",
        sa.Column("message", _NUMBER, nullable=False, autoincrement=False),
        sa.Column("attempts", _NUMBER, nullable=False),
        sa.Column("due", _NUMBER, nullable=True),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("fate", "detail")),
        sa.Column("since", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("message"),
        sqlite_strict=True,
    )
    op.create_index("read_back_by_due", "read_back", ["due"])
    op.create_index("read_back_by_fate", "read_back", ["fate"])


def downgrade() -> None:
    """Drop the table: nothing is known of the EHR any more."""
    op.drop_table("read_back")
