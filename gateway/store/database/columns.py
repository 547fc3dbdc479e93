"""Column kinds (key, text, number, bytes) for the table definitions, with SQL types for SQLite and PostgreSQL.

https://docs.sqlalchemy.org/en/20/core/type_basics.html. Text is compared byte by byte.
Proved by tests/contract/test_migrations.py.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Text, text

METADATA: Final = MetaData()

NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
BYTES: Final = LargeBinary()


def key_column(name: str) -> Column[str]:
    """Return a text column that is the primary key."""
    return Column(name, TEXT, primary_key=True)


def text_column(name: str, *, needed: bool = True) -> Column[str]:
    """Return a text column."""
    return Column(name, TEXT, nullable=not needed)


def number_column(name: str, *, needed: bool = True) -> Column[int]:
    """Return a column for a whole number, an instant or a truth value."""
    return Column(name, NUMBER, nullable=not needed)


def default_column(name: str, value: str | int) -> Column[Any]:
    """Return a column with a server default."""
    kind: Any = TEXT if isinstance(value, str) else NUMBER
    return Column(name, kind, nullable=False, server_default=text(repr(value)))


def bytes_column(name: str, *, needed: bool = True) -> Column[bytes]:
    """Return a column for bytes."""
    return Column(name, BYTES, nullable=not needed)
