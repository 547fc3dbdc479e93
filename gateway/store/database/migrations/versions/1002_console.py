"""Add the accounts of the console's operators, and the sessions of who is signed in.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "1002"
down_revision = "1001"

_NUMBER: Final[Any] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT: Final[Any] = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the two tables, and the indexes of sessions."""
    op.create_table(
        "operator",
        *(sa.Column(name, _TEXT, nullable=False) for name in ("name", "role", "password")),
        *(sa.Column(name, _NUMBER, nullable=False) for name in ("created", "changed")),
        *(
            sa.Column(name, _NUMBER, nullable=False, server_default=sa.text("0"))
            for name in ("failures", "locked_until")
        ),
        sa.PrimaryKeyConstraint("name"),
        sqlite_strict=True,
    )
    op.create_table(
        "console_session",
        *(sa.Column(name, _TEXT, nullable=False) for name in ("digest", "subject", "name")),
        sa.Column("account", _TEXT, nullable=True),
        sa.Column("member_of", _TEXT, nullable=False),
        *(sa.Column(name, _NUMBER, nullable=False) for name in ("began", "seen")),
        sa.Column("hint", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_strict=True,
    )
    op.create_index("console_session_by_subject", "console_session", ["subject"])
    op.create_index("console_session_by_seen", "console_session", ["seen"])


def downgrade() -> None:
    """Drop the tables: nobody is signed in any more, and the accounts are gone."""
    op.drop_table("console_session")
    op.drop_table("operator")
