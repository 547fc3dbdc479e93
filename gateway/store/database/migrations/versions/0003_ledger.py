"""Upgrade the table of messages: add a hash of the bytes, filled for bytes still stored, and a column of remarks.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ADDED: Final = ("body_hash", "remarks")
_BODY: Final = "(SELECT b.body FROM message_body b WHERE b.number = message.number)"
_HASHES: Final = {"sqlite": f"sha256_hex({_BODY})", "postgresql": f"encode(sha256({_BODY}), 'hex')"}


def upgrade() -> None:
    """Add the columns, and hash the bytes that are still stored."""
    for name in _ADDED:
        op.add_column("message", sa.Column(name, _TEXT, nullable=False, server_default=sa.text("''")))
    dialect = op.get_context().dialect.name
    if dialect == "sqlite":
        connection: Any = op.get_bind().connection.driver_connection
        connection.create_function("sha256_hex", 1, lambda body: hashlib.sha256(body).hexdigest())
    there = "number IN (SELECT number FROM message_body)"
    op.execute(f"UPDATE message SET body_hash = {_HASHES[dialect]} WHERE {there}")  # noqa: S608 (constants)


def downgrade() -> None:
    """Drop the columns."""
    for name in _ADDED:
        op.drop_column("message", name)
