"""Add the tables of built-in authentication: clients, their key sets, used assertions, and access tokens.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES: Final = ("client", "client_key_set", "used_assertion", "access_token")


def upgrade() -> None:
    """Add the tables and their indexes."""
    op.create_table(
        "client",
        sa.Column("client_id", _TEXT, primary_key=True),
        *_texts("name"),
        *_numbers("created"),
        *_numbers("expires", "disabled", nullable=True),
        *_texts("scopes"),
        *_texts("facilities", nullable=True),
        sqlite_strict=True,
    )
    op.create_table(
        "client_key_set",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        *_texts("client_id"),
        *_texts("document", "url", nullable=True),
        *_numbers("added"),
        *_numbers("ends", nullable=True),
        sqlite_strict=True,
    )
    op.create_table(
        "used_assertion", sa.Column("digest", _TEXT, primary_key=True), *_numbers("until"), sqlite_strict=True
    )
    op.create_table(
        "access_token",
        sa.Column("digest", _TEXT, primary_key=True),
        *_texts("client_id", "scopes"),
        *_numbers("issued", "expires"),
        *_numbers("revoked", nullable=True),
        sqlite_strict=True,
    )
    op.create_index("client_by_name", "client", ["name"], unique=True)
    op.create_index("client_key_set_by_client", "client_key_set", ["client_id"])
    op.create_index("used_assertion_by_until", "used_assertion", ["until"])
    op.create_index("access_token_by_expires", "access_token", ["expires"])
    op.create_index("access_token_by_client", "access_token", ["client_id"])


def downgrade() -> None:
    """Drop the tables. The earlier release has no authentication; the clients are registered anew afterwards."""
    for table in _TABLES:
        op.drop_table(table)


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, _TEXT, nullable=nullable) for name in names]


def _numbers(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, _NUMBER, nullable=nullable) for name in names]
