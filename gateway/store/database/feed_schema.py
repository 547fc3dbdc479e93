"""Database tables for sending HL7 v2 messages: outbox rows, messages, destinations, and stopped studies.

Carries out no clause of a standard; decisions D7, D13, D18, D32, D33, D37, D38. Follows the conventions of schema.py,
which includes these tables.
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

# One row for each cause and destination, or one row without a destination. The transaction that stores the study
# decides it (D7). States of this table and of `message`: gateway/store/feed/states.py
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
# Study as it was before its reports moved to another patient: the withdrawal there is composed from it (D13)
FORMER: Final = Table(
    "former",
    METADATA,
    number_column("revision"),
    text_column("study_id"),
    bytes_column("kept"),
    PrimaryKeyConstraint("study_id", "revision"),
    sqlite_strict=True,
)
# Message to a destination, composed once. `restates`: a newer whole message with the same key replaces it. `report_ids`
# are the reports in it. `doubts` counts how often it was sent without a usable answer. `body_hash` outlives the bytes.
# `remarks` are codes, separated by spaces, for content that could not be expressed. `told` is the digest of its content
# (D38). Until `stale_until`, a copy that an earlier holder sent may still arrive after newer messages (D33)
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
    number_column("reported", needed=False),
    default_column("statuses", ""),
    sqlite_strict=True,
)
# Bytes of a message, which never change: a table apart, since the message's row changes with every step
MESSAGE_BODY: Final = Table(
    "message_body",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    bytes_column("body"),
    sqlite_strict=True,
)
# Attempts to send a message, with the answers; kept as long as its bytes (gateway/store/feed/messages.py)
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
# Message that is looked up in the EHR after its acknowledgement. `due` is empty once it is settled. `fate` is empty
# until the EHR was asked often enough to say one; `detail` has codes
READ_BACK: Final = Table(
    "read_back",
    METADATA,
    Column("message", NUMBER, primary_key=True, autoincrement=False),
    number_column("attempts"),
    number_column("due", needed=False),
    text_column("fate"),
    text_column("detail"),
    number_column("since"),
    sqlite_strict=True,
)
# Filler order numbers and patient that a destination was first sent for a report (D13, D18)
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
# Held lane: nothing of the study is sent to the destination. `culprit` is the message that caused it
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
# Holder and fence of a destination, with the lease's end by the database's clock (D33), and why it is paused. `became`
# is its present name. `origin` is its first name, from which control ids are made. `retired` is when an operator closed
# what was open
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
# Settings that decide what a destination is owed, one row for each change (D37). `planned` is when the plan for reports
# signed earlier was made. `unasked` counts its messages sent without confirmation
IN_FORCE: Final = Table(
    "in_force",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    number_column("since"),
    number_column("planned", needed=False),
    number_column("unasked"),
    text_column("name"),
    text_column("digest"),
    text_column("settings"),
    sqlite_strict=True,
)
# Messages delivered in a minute, by the seconds from signature to ACK (`within`, an upper bound; 0: all of the minute)
MINUTE: Final = Table(
    "minute",
    METADATA,
    text_column("destination"),
    number_column("at"),
    number_column("within"),
    number_column("messages"),
    PrimaryKeyConstraint("destination", "at", "within"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
# Acts of operators that the ledger does not explain
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    number_column("at"),
    text_column("verb"),
    text_column("argument"),
    text_column("reason"),
    text_column("user"),
    text_column("host"),
    sqlite_strict=True,
)
# Alert that is raised, or whose end is not yet notified everywhere (D38). `cases` (JSON) are the rows it concerns, with
# their start. `told` (JSON) lists the cases that each address was notified of. `acknowledged` is the start of the
# newest case that an operator acknowledged. `began` is 0 where that is not known
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
    default_column("began", 0),
    PrimaryKeyConstraint("code", "destination"),
    sqlite_strict=True,
)
# Alert that is over
PAST_ALERT: Final = Table(
    "past_alert",
    METADATA,
    text_column("destination"),
    text_column("code"),
    number_column("ended"),
    number_column("began"),
    number_column("count"),
    number_column("acknowledged_at", needed=False),
    text_column("acknowledged_by"),
    PrimaryKeyConstraint("destination", "code", "ended"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
# One row: the run that makes a certificate, or the last one; `wanted` is a destination, empty for all. It counts
# reports, `total` once that is known; its process says at `seen` that it goes on. `fault`: why no certificate was made
CERTIFICATE_RUN: Final = Table(
    "certificate_run",
    METADATA,
    Column("one", NUMBER, primary_key=True, autoincrement=False),
    text_column("wanted"),
    text_column("asked_by"),
    number_column("began"),
    number_column("seen"),
    number_column("done"),
    number_column("total", needed=False),
    number_column("ended", needed=False),
    text_column("fault"),
    sqlite_strict=True,
)
# Last certificate of a destination that was made at the console: the answer of `feed certificate` (`document`, JSON)
CERTIFICATE: Final = Table(
    "certificate",
    METADATA,
    key_column("destination"),
    text_column("asked_by"),
    number_column("began"),
    number_column("ended"),
    text_column("document"),
    sqlite_strict=True,
)

# Messages whose bytes are deleted after their retention
_HAS_BODY: Final = MESSAGE.c.has_body == literal_column("1")
# Messages that the receiver's interface committed and its application has not acknowledged (second condition)
_IS_STALE: Final = MESSAGE.c.stale_until.is_not(None)
_UNACCEPTED: Final = and_(MESSAGE.c.accepted.is_(None), MESSAGE.c.committed.is_not(None))

FEED_INDEXES: Final = (
    Index("outbox_by_study", OUTBOX.c.study_id),
    Index("outbox_by_state", OUTBOX.c.destination, OUTBOX.c.state, OUTBOX.c.number),
    Index("outbox_by_signed", OUTBOX.c.destination, OUTBOX.c.state, OUTBOX.c.signed),
    Index("outbox_by_due", OUTBOX.c.destination, OUTBOX.c.state, OUTBOX.c.due),
    Index("alert_by_destination", ALERT.c.destination),
    Index("past_alert_by_ended", PAST_ALERT.c.ended),
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
    Index("read_back_by_due", READ_BACK.c.due),
    Index("read_back_by_fate", READ_BACK.c.fate),
    Index("message_by_control_id", MESSAGE.c.destination, MESSAGE.c.control_id, unique=True),
)
