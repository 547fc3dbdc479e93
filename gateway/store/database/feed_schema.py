"""The tables of the feed: what is told to whom, the messages, who sends them, what holds them.

Carries out no clause of a standard; decisions D7, D13, D18, D32, D33, D37, D38. As schema.py, which takes them in.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, and_, literal_column

from gateway.store.database.columns import (
    METADATA,
    NUMBER,
    bytes_column,
    default_column,
    key_column,
    number_column,
    text_column,
)

# What is to be told to whom: decided in the transaction that stored the study (D7), a row for each destination, or one
# without. Its states and those of `message`: gateway/store/feed/states.py
OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    text_column("study_id"),
    text_column("report_id"),
    text_column("kind"),
    text_column("content_version"),
    text_column("destination"),
    text_column("state"),
    number_column("is_move"),
    number_column("decided"),
    default_column("reason", ""),
    default_column("due", 0),
    default_column("priority", 1),
    default_column("is_critical", 0),
    default_column("replay", 0),
    number_column("signed", needed=False),
    number_column("settled", needed=False),
    sqlite_strict=True,
)
# A study as it was before its reports were about somebody else: what is taken back there is made of it (D13)
FORMER: Final = Table(
    "former",
    METADATA,
    number_column("revision"),
    text_column("study_id"),
    bytes_column("kept"),
    PrimaryKeyConstraint("study_id", "revision"),
    sqlite_strict=True,
)
# A message to a destination, rendered once. `restates`: a newer whole one of the same says it again; `report_ids` are
# the reports in it; `doubts` counts the times that it was written and got no usable answer; `body_hash` outlives the
# bytes that it is of; `remarks` are the codes of what it could not say as it should, parted by blanks; `told` is the
# digest of what it tells (D38); until `stale_until` a copy of it that a holder wrote before may still reach the
# receiver, behind what is newer (D33)
MESSAGE: Final = Table(
    "message",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    number_column("outbox"),
    number_column("is_whole"),
    number_column("is_draft"),
    number_column("is_critical"),
    number_column("priority"),
    number_column("size"),
    number_column("attempts"),
    number_column("doubts"),
    number_column("due"),
    number_column("made"),
    number_column("sent", needed=False),
    number_column("committed", needed=False),
    number_column("accepted", needed=False),
    number_column("closed", needed=False),
    number_column("superseded_by", needed=False),
    number_column("signed", needed=False),
    number_column("stale_until", needed=False),
    text_column("destination"),
    text_column("study_id"),
    text_column("report_id"),
    text_column("kind"),
    text_column("content_version"),
    text_column("control_id"),
    text_column("restates"),
    text_column("filler_order_numbers"),
    text_column("report_ids"),
    text_column("patient_id"),
    text_column("state"),
    text_column("reason"),
    text_column("ack"),
    number_column("has_body"),
    default_column("body_hash", ""),
    default_column("remarks", ""),
    default_column("told", ""),
    sqlite_strict=True,
)
# The bytes of a message, which never change: apart, since its row changes with every step that it takes
MESSAGE_BODY: Final = Table(
    "message_body",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    bytes_column("body"),
    sqlite_strict=True,
)
# The attempts to send a message and what was answered, as long as its bytes are kept (gateway/store/feed/attempts.py)
ATTEMPT: Final = Table(
    "attempt",
    METADATA,
    number_column("message"),
    number_column("place"),
    number_column("begun", needed=False),
    number_column("ended"),
    text_column("state"),
    text_column("reason"),
    text_column("ack"),
    text_column("connection"),
    bytes_column("answer"),
    PrimaryKeyConstraint("message", "place"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
# Under which numbers a destination was first sent a report, and about whom (D13, D18)
SENT_NUMBER: Final = Table(
    "sent_number",
    METADATA,
    number_column("place"),
    number_column("since"),
    text_column("destination"),
    text_column("study_id"),
    text_column("report_id"),
    text_column("filler_order_number"),
    text_column("patient_id"),
    PrimaryKeyConstraint("destination", "study_id", "report_id", "filler_order_number"),
    sqlite_strict=True,
)
# A lane that is held: nothing of the study is sent there. `culprit` is the message that is the reason
LANE: Final = Table(
    "lane",
    METADATA,
    number_column("culprit", needed=False),
    number_column("since"),
    text_column("destination"),
    text_column("study_id"),
    text_column("reason"),
    PrimaryKeyConstraint("destination", "study_id"),
    sqlite_strict=True,
)
# Who sends to a destination, until when by the database's clock, and why it may not (D33). `became` is the name that it
# has by now, `origin` the first that it had (of it MSH-10 is made); `retired` is when an operator closed what was open
DESTINATION: Final = Table(
    "destination",
    METADATA,
    key_column("name"),
    number_column("fence"),
    number_column("expires"),
    number_column("paused_since", needed=False),
    text_column("holder"),
    text_column("paused"),
    default_column("became", ""),
    default_column("origin", ""),
    default_column("retired", 0),
    sqlite_strict=True,
)
# The settings by which it is decided what a destination is owed, each change a row (D37); `planned` is when the plan
# was made of what was signed before, `unasked` how many messages of it were sent without asking; none where `asks` is 1
IN_FORCE: Final = Table(
    "in_force",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    number_column("since"),
    number_column("planned", needed=False),
    number_column("unasked"),
    number_column("asks"),
    text_column("name"),
    text_column("digest"),
    text_column("settings"),
    sqlite_strict=True,
)
# What operators did that the ledger alone does not explain; of rows of an earlier release nobody knows who did it
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    number_column("at"),
    text_column("verb"),
    text_column("argument"),
    text_column("reason"),
    text_column("user", needed=False),
    text_column("host", needed=False),
    sqlite_strict=True,
)
# An alert that stands, or of whose end somebody is still to hear (D38): `cases` are the rows that it is about and since
# when, `told` which of them each address has heard of, both JSON; `acknowledged` is when the newest case began that an
# operator knows of
ALERT: Final = Table(
    "alert",
    METADATA,
    text_column("code"),
    text_column("destination"),
    number_column("count"),
    text_column("cases"),
    text_column("told"),
    text_column("studies"),
    default_column("acknowledged", 0),
    number_column("acknowledged_at", needed=False),
    default_column("acknowledged_by", ""),
    PrimaryKeyConstraint("code", "destination"),
    sqlite_strict=True,
)

# Whose text is to be let go of in time
_HAS_BODY: Final = MESSAGE.c.has_body == literal_column("1")
# What the receiver's interface has, and of its application nothing was heard
_IS_STALE: Final = MESSAGE.c.stale_until.is_not(None)
_UNACCEPTED: Final = and_(MESSAGE.c.accepted.is_(None), MESSAGE.c.committed.is_not(None))

FEED_INDEXES: Final = (
    Index("outbox_by_study", OUTBOX.c.study_id),
    Index("outbox_by_state", OUTBOX.c.destination, OUTBOX.c.state, OUTBOX.c.number),
    Index("outbox_by_signed", OUTBOX.c.destination, OUTBOX.c.state, OUTBOX.c.signed),
    Index("outbox_by_due", OUTBOX.c.destination, OUTBOX.c.state, OUTBOX.c.due),
    Index("alert_by_destination", ALERT.c.destination),
    Index("in_force_by_name", IN_FORCE.c.name, IN_FORCE.c.number),
    Index("message_by_state", MESSAGE.c.destination, MESSAGE.c.state, MESSAGE.c.priority, MESSAGE.c.number),
    Index("message_by_lane", MESSAGE.c.destination, MESSAGE.c.study_id, MESSAGE.c.number),
    Index("message_by_study", MESSAGE.c.study_id),
    Index("message_by_patient", MESSAGE.c.patient_id),
    Index("message_by_closed", MESSAGE.c.closed, sqlite_where=_HAS_BODY, postgresql_where=_HAS_BODY),
    Index(
        "message_by_committed",
        MESSAGE.c.destination,
        MESSAGE.c.committed,
        sqlite_where=_UNACCEPTED,
        postgresql_where=_UNACCEPTED,
    ),
    Index(
        "message_by_stale",
        MESSAGE.c.destination,
        MESSAGE.c.stale_until,
        sqlite_where=_IS_STALE,
        postgresql_where=_IS_STALE,
    ),
    Index("message_by_control_id", MESSAGE.c.destination, MESSAGE.c.control_id, unique=True),
)
