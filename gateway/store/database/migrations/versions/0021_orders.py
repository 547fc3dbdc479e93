"""Add the tables of what hospitals send: inbound messages, orders, visits, number changes, and matches with studies.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TABLES = (
    *("inbound", "inbound_key", "source", "hospital_order", "order_key", "visit", "number_change"),
    *("study_key", "order_match", "order_verdict"),
)


def _numbered() -> sa.Column[Any]:
    return sa.Column("number", _NUMBER, primary_key=True, autoincrement=True)


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, _NUMBER, nullable=False) for name in names]


def _body() -> sa.Column[Any]:
    return sa.Column("body", sa.LargeBinary(), nullable=False)


def _study() -> sa.Column[Any]:
    return sa.Column("study_id", _TEXT, primary_key=True)


def _made(name: str, *parts: Any) -> None:
    op.create_table(name, *parts, sqlite_strict=True)


def upgrade() -> None:
    """Add tables and indexes."""
    _made(
        "inbound",
        _numbered(),
        *_texts("source", "sender", "control_id", "digest", "structure"),
        *_numbers("received"),
        *_texts("state", "code"),
        sa.Column("settled", _NUMBER),
        sa.Column("body", sa.LargeBinary()),
    )
    primary = sa.PrimaryKeyConstraint("key", "inbound")
    _made("inbound_key", *_texts("key"), *_numbers("inbound"), primary)
    _made("source", sa.Column("name", _TEXT, primary_key=True), *_numbers("first_seen"))
    orders = (*_texts("source"), *_numbers("revision", "first_at", "last_at", "applied"))
    _made("hospital_order", _numbered(), *orders, _body())
    primary = sa.PrimaryKeyConstraint("key", "hospital_order")
    _made("order_key", *_texts("key"), *_numbers("hospital_order"), primary)
    primary = sa.PrimaryKeyConstraint("key", "at", "inbound")
    _made("visit", *_texts("key"), *_numbers("at", "inbound"), _body(), primary)
    changes = ("source", "kind", "authority", "type_code", "prior", "surviving", "surviving_text", "control_id")
    _made("number_change", _numbered(), *_texts(*changes), *_numbers("at"), *_texts("held"))
    _made("study_key", *_texts("key", "study_id"), sa.PrimaryKeyConstraint("key", "study_id"))
    sent = sa.Column("sent_orders", _TEXT)
    _made("order_match", _study(), *_texts("verdict", "reason", "orders"), *_numbers("since"), sent)
    _made("order_verdict", _study(), *_texts("verdict", "orders", "reason"), *_numbers("decided"))
    _index()


def downgrade() -> None:
    """Drop the tables."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _index() -> None:
    waiting = sa.text("state = 'waiting'")
    op.create_index("inbound_waiting", "inbound", ["source", "number"], sqlite_where=waiting, postgresql_where=waiting)
    troubled = sa.text("state IN ('held', 'failed')")
    columns = ["state", "settled"]
    op.create_index("inbound_troubled", "inbound", columns, sqlite_where=troubled, postgresql_where=troubled)
    op.create_index("inbound_by_digest", "inbound", ["source", "digest"])
    op.create_index("inbound_by_received", "inbound", ["received"])
    op.create_index("inbound_key_by_inbound", "inbound_key", ["inbound"])
    op.create_index("order_key_by_order", "order_key", ["hospital_order"])
    op.create_index("hospital_order_by_applied", "hospital_order", ["applied"])
    op.create_index("visit_by_at", "visit", ["at"])
    prior = ["kind", "authority", "prior", "surviving", "type_code"]
    op.create_index("number_change_by_prior", "number_change", prior, unique=True)
    op.create_index("number_change_by_surviving", "number_change", ["kind", "authority", "surviving"])
    op.create_index("study_key_by_study", "study_key", ["study_id"])
    op.create_index("order_match_by_verdict", "order_match", ["verdict", "since"])
