"""Conditions of the feed that an operator is alerted to, as data; `Alerting` in monitor.py tracks which are new.

HL7 v2.5.1 §2.9.2 (a message without an acknowledgement may not have arrived); decisions D13, D31, D32, D37, D38. An
alert names a destination and studies, and gives counts. It holds nothing about a patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway.store.database.probe import FULL, LOST
from gateway.store.feed.feed_facts import Cases, FeedFacts
from gateway.store.feed.states import BREAKER_REASONS, RESTORED

NOT_CONNECTED: Final = "connect-failed"
NOT_SERVED: Final = "not-served"
UNSERVED: Final = 60.0  # seconds: a takeover by another process is far quicker
RUNBOOK: Final = "docs/operations.md"  # with a heading for each condition, its code


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that holds now: its code, its destination (empty: the whole feed), and a count or a duration.

    `cases` are the rows concerned, if each new row must be alerted; otherwise `studies` are the studies concerned.
    """

    code: str
    destination: str
    count: int
    cases: Cases = field(default_factory=dict)
    studies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlertRow:
    """Definition of a condition: its meaning, its remedy, and functions that measure it (count 0: it does not hold).

    `cases` gives the rows concerned if each new row must be alerted; otherwise `studies` gives the studies concerned.
    If `escalates`, a case that stays unacknowledged is also posted to the addresses of `[[feed.escalate]]`.
    """

    code: str
    meaning: str
    remedy: str
    count: Callable[[FeedFacts, float], int] = lambda _, __: 0
    cases: Callable[[FeedFacts], Cases] = lambda _: {}
    studies: Callable[[FeedFacts], tuple[str, ...]] = lambda _: ()
    escalates: bool = False


CONDITIONS: Final = (
    AlertRow(
        "critical-overdue",
        "A critical result was signed longer ago than `critical_alert_minutes` and is not acknowledged.",
        "Tell the clinician by other means and say so by `feed ack`, then look at the destination.",
        lambda facts, _: len(facts.critical),
        lambda facts: facts.critical,
        escalates=True,
    ),
    AlertRow(
        "critical-blocked",
        "A critical result is not sent: it is a dead letter (a rule of the receiver, or its answer), or it is held for"
        " what the receiver must know of the patient (`authority-unknown`, `identity-conflict-held`, `name-absent`,"
        " `vista-patient-unknown`), or since its patient has become another (`move`, `former-unknown`).",
        "Tell the clinician by other means and say so by `feed ack`; `feed dead-letters` names the rule, `feed status`"
        " lists what is held, `identity list` the patients of a conflict.",
        lambda facts, _: len(facts.critical_blocked),
        lambda facts: facts.critical_blocked,
        escalates=True,
    ),
    AlertRow(
        "queue-age",
        "The oldest message, made or to be made, waits for longer than `feed.queue_age_alert_minutes`; the number is"
        " its age in seconds.",
        "Look at the receiver and at `feed status`.",
        lambda facts, limit: int(facts.oldest) if facts.oldest > limit else 0,
    ),
    AlertRow(
        "application-ack-missing",
        "The receiver's interface took messages (CA) longer ago than `feed.queue_age_alert_minutes`, and its"
        " application has not answered, where `ack_mode` is `two_phase`.",
        "Ask whether the receiver has them; `feed replay` sends the current state.",
        lambda facts, _: len(facts.unaccepted),
        studies=lambda facts: tuple(facts.unaccepted.values()),
    ),
    AlertRow(
        NOT_SERVED,
        "Something waits, and for longer than a minute no process has served the destination; the number is for how"
        " many seconds.",
        "See that a process with the role `feed` runs, and look at its log.",
        lambda facts, _: int(facts.unserved) if facts.oldest and facts.unserved > UNSERVED else 0,
    ),
    AlertRow(
        "connection-down",
        "The receiver cannot be reached.",
        "Check its host, port and TLS settings; `check-config --online` tries them.",
        lambda facts, _: int(facts.last_failure == NOT_CONNECTED),
    ),
    AlertRow(
        "destination-paused",
        "Nothing is sent to it, by an operator or since it refuses for good whatever it is sent.",
        "`feed status` names the reason, `feed resume` goes on.",
        lambda facts, _: int(bool(facts.paused) and facts.paused not in {*BREAKER_REASONS, RESTORED}),
    ),
    AlertRow(
        "circuit-breaker-open",
        "It answers whatever it is sent with AR or CR: it is tried with one message now and then, and all go once it"
        " takes one.",
        "Ask those who run the receiver; here nothing has to be done.",
        lambda facts, _: int(facts.paused in BREAKER_REASONS),
    ),
    AlertRow(
        "plan-waits",
        "Changed settings would send, or stop, what was signed before the change: more than goes unasked, or critical"
        " results.",
        "`feed plan` counts it; `feed apply NAME` does it, `feed apply NAME --leave --reason …` leaves all as it was:"
        " [changed settings](feed.md#changed-settings). A study that `feed status` calls undecided is tried again once"
        " a minute: report the fault that the log has (`study-not-planned`).",
        lambda facts, _: len(facts.planned),
        lambda facts: facts.planned_critical,
        lambda facts: tuple(facts.planned.values()),
    ),
    AlertRow(
        "database-restored",
        "The database is older than what was sent, as the feed journal says: nothing is sent to any destination.",
        "See [after a restore](operations.md#after-a-restore): `feed resume --restored` writes down what was sent.",
        lambda facts, _: int(facts.paused == RESTORED),
    ),
    AlertRow(
        "lane-held",
        "Messages of a study wait for an operator.",
        "`feed status` names the studies and reasons, `feed resume --study` lets one go.",
        lambda facts, _: len(facts.held_lanes),
        lambda facts: facts.held_lanes,
    ),
    AlertRow(
        "message-held",
        "No message is made since something is missing, nobody says whose number an MRN is, or a report's patient"
        " may be somebody else or has become another. For an accession number it waits `accession_wait_minutes` first,"
        " unless the result is critical.",
        "`feed status` names the studies and reasons; for `authority-unknown` see"
        " [whose number an MRN is](feed.md#whose-number-an-mrn-is).",
        lambda facts, _: len(facts.held_rows),
        lambda facts: facts.held_rows,
    ),
    AlertRow(
        "dead-letter",
        "Messages are not sent any more.",
        "`feed dead-letters` names the reasons, `feed replay` sends the current state.",
        lambda facts, _: len(facts.dead_letters),
        lambda facts: facts.dead_letters,
    ),
)
SETTINGS_DIFFER: Final = AlertRow(
    "settings-differ",
    "A process has other settings of the destination than whoever sends to it; it goes by the latter.",
    "Give all processes the same settings, and start them anew: [settings in force](feed.md#settings-in-force).",
)
UNROUTED: Final = AlertRow(
    "unrouted",
    "Signed reports that no destination takes.",
    "Add a destination or an [[ignore]] rule; `feed certificate` lists them.",
)
LEFT_OPEN: Final = AlertRow(
    "left-open",
    "Something is open for a destination that is not in the settings any more, or not enabled, and that nobody serves.",
    "`check-config` says how much. Write `formerly` in its new table, put its table back, or close what is open:"
    " `feed retire NAME --reason`.",
)
JOURNAL: Final = AlertRow(
    "journal-not-written",
    "A gateway cannot write its feed journal; the feed goes on. It is told by that gateway's log and metrics alone.",
    "See that `feed.state_dir` is there, is writable and has room; what waits is written then.",
)
OF_THE_STORE: Final = (
    AlertRow(
        FULL,
        "The database takes no writes, for its disk is full: nothing is taken in, and nothing is sent. The number is"
        " for how many seconds.",
        "Make room on the disk of the database; with PostgreSQL the server's own log says which one it is. What waited"
        " goes on by itself, and a minute after the last write that found no room it counts as over.",
    ),
    AlertRow(
        LOST,
        "The database takes no writes: it is out of reach, hangs, is locked by somebody else, or its disk is broken."
        " Nothing is taken in, and nothing is sent. The number is for how many seconds.",
        "See that the database server runs and can be reached from the machine of `process`, or that the file of SQLite"
        " can be written. What waited goes on by itself.",
    ),
)
# Every condition by its code, including those that concern no single destination
ROWS: Final = {row.code: row for row in (*CONDITIONS, SETTINGS_DIFFER, UNROUTED, LEFT_OPEN, JOURNAL, *OF_THE_STORE)}


def alerts(destination: str, facts: FeedFacts, queue_age: float) -> Iterator[Alert]:
    """Yield the conditions that hold at a destination; `queue_age` is the longest a message may wait, in seconds."""
    for row in CONDITIONS:
        count = row.count(facts, queue_age)
        if count:
            yield Alert(row.code, destination, count, row.cases(facts), row.studies(facts))
