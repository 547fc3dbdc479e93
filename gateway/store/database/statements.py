"""A statement in both dialects, and a transaction as steps that ask for statements: neither knows which engine runs it.

https://docs.sqlalchemy.org/en/20/core/compiler.html: each statement is compiled once per dialect (D8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import text
from sqlalchemy.dialects import postgresql, sqlite

Dialect = Literal["sqlite", "postgresql"]
Row: TypeAlias = Sequence[Any]
Values: TypeAlias = Mapping[str, Any]
Result = TypeVar("Result")

# What PostgreSQL cannot hold in a text: NUL and lone surrogates
_UNFIT: Final = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"
_DIALECTS: Final = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": postgresql.dialect(paramstyle="numeric_dollar"),  # type: ignore[no-untyped-call]
}
# `IN listed(:name)` -> among the values of a JSON array of strings; PostgreSQL goes by the index for those of an array
_LISTED: Final = re.compile(r"(NOT )?IN listed\((:\w+)\)")
_LISTS: Final = {
    ("sqlite", None): "IN (SELECT value FROM json_each({}))",
    ("sqlite", "NOT "): "NOT IN (SELECT value FROM json_each({}))",
    ("postgresql", None): "= ANY (ARRAY(SELECT json_array_elements_text(CAST({} AS json))))",
    ("postgresql", "NOT "): "<> ALL (ARRAY(SELECT json_array_elements_text(CAST({} AS json))))",
}

_LOCKING: Final = " FOR UPDATE"


def storable(text: str) -> str:
    """A text as a column can hold it, and as it is looked up there."""
    return text if text.isascii() and "\0" not in text else _UNFIT.sub(_REPLACEMENT, text)


class Compiled(NamedTuple):
    """SQL with positional placeholders, and the names of the values in their order."""

    sql: str
    names: tuple[str, ...]

    def positional(self, values: Values) -> tuple[Any, ...]:
        """The values in the order of the placeholders."""
        return tuple([values[name] for name in self.names])


@dataclass(frozen=True)
class Statement:
    """SQL that both engines understand, with `:name` for values, `IN listed(:name)` for a JSON array of strings.

    ` FOR UPDATE` at its end holds the row until the commit; SQLite, where one writes at a time, knows no such thing.
    """

    sql: str

    def compiled(self, dialect: Dialect) -> Compiled:
        """For an engine."""
        return self._sqlite if dialect == "sqlite" else self._postgresql

    @cached_property
    def _sqlite(self) -> Compiled:
        return self._compile("sqlite")

    @cached_property
    def _postgresql(self) -> Compiled:
        return self._compile("postgresql")

    def _compile(self, dialect: Dialect) -> Compiled:
        sql = self.sql.removesuffix(_LOCKING) if dialect == "sqlite" else self.sql
        listed = _LISTED.sub(lambda found: _LISTS[dialect, found[1]].format(found[2]), sql)
        made = text(listed).compile(dialect=_DIALECTS[dialect])
        return Compiled(str(made), tuple(made.positiontup or ()))


class Ask(NamedTuple):
    """One statement with its values; with a list of values, once for each, and no rows come back."""

    statement: Statement
    values: Values | Sequence[Values]


Steps: TypeAlias = Generator[Ask, list[Row], Result]
Work: TypeAlias = Callable[[], Steps[Result]]


def ask(statement: Statement, **values: Any) -> Steps[list[Row]]:
    """The step of one statement: `rows = yield from ask(STATEMENT, name=value)`."""
    return (yield Ask(statement, values))


def ask_each(statement: Statement, rows: Sequence[Values]) -> Steps[None]:
    """The step of a statement for each of these rows of values, if there are any."""
    if rows:
        yield Ask(statement, rows)
