"""Database tables for what hospitals send: inbound messages, orders, visits, number changes, and matches with studies.

Carries out no clause of a standard; decision D48. Follows the conventions of schema.py, which includes these tables.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, literal_column

from gateway.store.database.columns import (
    METADATA,
    NUMBER,
    bytes_column,
    default_column,
    key_column,
    number_column,
    text_column,
)

# Message as it came, acknowledged once it is here. Of one source the numbers are in the order of the commits. States:
# waiting, applied, nothing (it changes nothing), held (`code` says why), failed. `body` is the compressed frame.
# `is_again` is 1 once an operator had a held message tried again: it may be older than what was applied since
INBOUND: Final = Table(
    "inbound",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    text_column("source"),
    text_column("sender"),
    text_column("control_id"),
    text_column("digest"),
    text_column("structure"),
    number_column("received"),
    text_column("state"),
    text_column("code"),
    number_column("settled", needed=False),
    bytes_column("body", needed=False),
    default_column("is_again", 0),
    sqlite_strict=True,
)
# Numbers that a failed message concerns: later messages with one of them wait for it. And the rows of `number_change`
# that a held message says: they are in doubt as long as one such message is held
INBOUND_KEY: Final = Table(
    "inbound_key",
    METADATA,
    text_column("key"),
    number_column("inbound"),
    PrimaryKeyConstraint("key", "inbound"),
    sqlite_strict=True,
)
# Lock of a source: its inbound messages get their numbers one transaction after the other. A renamed source keeps its
# first name in all other tables: `origin` is that name (empty: its own). `became` is the name that took its place
SOURCE: Final = Table(
    "source",
    METADATA,
    key_column("name"),
    number_column("first_seen"),
    default_column("became", ""),
    default_column("origin", ""),
    sqlite_strict=True,
)
# Order as far as it is known: `body` is a compressed `KnownOrder`. `revision` counts its changes
HOSPITAL_ORDER: Final = Table(
    "hospital_order",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    text_column("source"),
    number_column("revision"),
    number_column("first_at"),
    number_column("last_at"),
    number_column("applied"),
    bytes_column("body"),
    sqlite_strict=True,
)
# Numbers by which an order is found, as `key_text` writes them: its own, and those of its patient and its visit
ORDER_KEY: Final = Table(
    "order_key",
    METADATA,
    text_column("key"),
    number_column("hospital_order"),
    PrimaryKeyConstraint("key", "hospital_order"),
    sqlite_strict=True,
)
# Visit as one message states it; `at` is the time of the event. `body` is compressed JSON
VISIT: Final = Table(
    "visit",
    METADATA,
    text_column("key"),
    number_column("at"),
    number_column("inbound"),
    bytes_column("body"),
    PrimaryKeyConstraint("key", "at", "inbound"),
    sqlite_strict=True,
)
# Number that gave way to another one of the same kind, authority and type. `prior` and `surviving` are in the form for
# comparison, `surviving_text` as the hospital wrote it. `held` is the reason for which it is not used, empty if it is,
# `settled` if a later message made it void
NUMBER_CHANGE: Final = Table(
    "number_change",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    text_column("source"),
    text_column("kind"),
    text_column("authority"),
    text_column("type_code"),
    text_column("prior"),
    text_column("surviving"),
    text_column("surviving_text"),
    text_column("control_id"),
    number_column("at"),
    text_column("held"),
    sqlite_strict=True,
)
# Keys by which a stored study looks for its orders; also those of its patients (kind `patient`)
STUDY_KEY: Final = Table(
    "study_key",
    METADATA,
    text_column("key"),
    text_column("study_id"),
    PrimaryKeyConstraint("key", "study_id"),
    sqlite_strict=True,
)
# Match of a study at its last ingest: `verdict` and `reason` of `mappings.hospital.match`. `orders` is JSON, as is
# `sent_orders`: those of an earlier match of which a message was made
ORDER_MATCH: Final = Table(
    "order_match",
    METADATA,
    key_column("study_id"),
    text_column("verdict"),
    text_column("reason"),
    text_column("orders"),
    number_column("since"),
    text_column("sent_orders", needed=False),
    sqlite_strict=True,
)
# Decision of an operator: the study answers these orders (`match`), or goes without one (`release`)
ORDER_VERDICT: Final = Table(
    "order_verdict",
    METADATA,
    key_column("study_id"),
    text_column("verdict"),
    text_column("orders"),
    text_column("reason"),
    number_column("decided"),
    sqlite_strict=True,
)
# What became known of a study's order after a destination was sent the study: `code` of `store.feed.states`. Outcomes:
# open, noted, restated
ORDER_NEWS: Final = Table(
    "order_news",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    text_column("study_id"),
    text_column("destination"),
    text_column("code"),
    text_column("outcome"),
    number_column("at"),
    sqlite_strict=True,
)

_TROUBLED: Final = INBOUND.c.state.in_([literal_column("'held'"), literal_column("'failed'")])
_WAITING: Final = INBOUND.c.state == literal_column("'waiting'")

ORDERS_INDEXES: Final = (
    Index("inbound_waiting", INBOUND.c.source, INBOUND.c.number, sqlite_where=_WAITING, postgresql_where=_WAITING),
    Index(
        "inbound_troubled",
        INBOUND.c.state,
        INBOUND.c.settled,
        sqlite_where=_TROUBLED,
        postgresql_where=_TROUBLED,
    ),
    Index("inbound_by_digest", INBOUND.c.source, INBOUND.c.digest),
    Index("inbound_by_received", INBOUND.c.received),
    Index("inbound_key_by_inbound", INBOUND_KEY.c.inbound),
    Index("order_key_by_order", ORDER_KEY.c.hospital_order),
    Index("hospital_order_by_applied", HOSPITAL_ORDER.c.applied),
    Index("visit_by_at", VISIT.c.at),
    Index(
        "number_change_by_prior",
        NUMBER_CHANGE.c.kind,
        NUMBER_CHANGE.c.authority,
        NUMBER_CHANGE.c.prior,
        NUMBER_CHANGE.c.surviving,
        NUMBER_CHANGE.c.type_code,
        unique=True,
    ),
    Index("number_change_by_surviving", NUMBER_CHANGE.c.kind, NUMBER_CHANGE.c.authority, NUMBER_CHANGE.c.surviving),
    Index("study_key_by_study", STUDY_KEY.c.study_id),
    Index("order_match_by_verdict", ORDER_MATCH.c.verdict, ORDER_MATCH.c.since),
    Index("order_news_by_outcome", ORDER_NEWS.c.destination, ORDER_NEWS.c.outcome, ORDER_NEWS.c.at),
    Index("order_news_by_study", ORDER_NEWS.c.study_id),
)
