"""What somebody must be told about the feed: conditions that hold, as data; whether they are new, `Alerting` sees.

HL7 v2.5.1 §2.9.2 (what is not acknowledged is not known to have arrived); decisions D13, D31, D32. An alert names a
destination and says numbers: nothing of a report or a patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.store.feed_facts import FeedFacts
from gateway.store.states import RESTORED

NOT_CONNECTED: Final = "connect-failed"
UNSERVED: Final = 60.0  # seconds: another process has long taken over by then
_NONE: Final[frozenset[int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that holds: which, at which destination (empty: of the whole feed), and how many or how long.

    `which` are the numbers of the rows that it is about, where of each new one somebody must be told.
    """

    code: str
    destination: str
    count: int
    which: frozenset[int] = _NONE


@dataclass(frozen=True, slots=True)
class Row:
    """A condition: what it means, what to do, and how much of it there is (0: it does not hold).

    `which` of those whose every new case is told, and not the first alone.
    """

    code: str
    meaning: str
    remedy: str
    count: Callable[[FeedFacts, float], int]
    which: Callable[[FeedFacts], frozenset[int]] = lambda _: _NONE


CONDITIONS: Final = (
    Row(
        "critical-overdue",
        "A critical result was signed longer ago than `critical_alert_minutes` and is not acknowledged.",
        "Tell the clinician by other means, then look at the destination.",
        lambda facts, _: len(facts.critical),
        lambda facts: facts.critical,
    ),
    Row(
        "critical-blocked",
        "A critical result is not sent: it is a dead letter (a rule of the receiver, or its answer), or it is held for"
        " what the receiver must know of the patient (`authority-unknown`, `identity-conflict-held`, `name-absent`,"
        " `vista-patient-unknown`), or since its patient has become another (`move`, `former-unknown`).",
        "Tell the clinician by other means; `feed dead-letters` names the rule, `feed status` lists what is held,"
        " `identity list` the patients of a conflict.",
        lambda facts, _: len(facts.critical_blocked),
        lambda facts: facts.critical_blocked,
    ),
    Row(
        "queue-age",
        "The oldest message, made or to be made, waits for longer than `feed.queue_age_alert_minutes`; the number is"
        " its age in seconds.",
        "Look at the receiver and at `feed status`.",
        lambda facts, limit: int(facts.oldest) if facts.oldest > limit else 0,
    ),
    Row(
        "application-ack-missing",
        "The receiver's interface took messages (CA) longer ago than `feed.queue_age_alert_minutes`, and its"
        " application has not answered, where `ack_mode` is `two_phase`.",
        "Ask whether the receiver has them; `feed replay` sends the current state.",
        lambda facts, _: facts.unaccepted,
    ),
    Row(
        "not-served",
        "Something waits, and for longer than a minute no process has served the destination; the number is for how"
        " many seconds.",
        "See that a process with the role `feed` runs, and look at its log.",
        lambda facts, _: int(facts.unserved) if facts.oldest and facts.unserved > UNSERVED else 0,
    ),
    Row(
        "connection-down",
        "The receiver cannot be reached.",
        "Check its host, port and TLS settings; `check-config --online` tries them.",
        lambda facts, _: int(facts.last_failure == NOT_CONNECTED),
    ),
    Row(
        "destination-paused",
        "Nothing is sent to it, by an operator or since it refuses whatever it is sent.",
        "`feed status` names the reason, `feed resume` goes on.",
        lambda facts, _: int(bool(facts.paused)),
    ),
    Row(
        "database-restored",
        "The database is older than what was sent, as the feed journal says: nothing is sent to any destination.",
        "See [after a restore](operations.md#after-a-restore): `feed resume --restored` writes down what was sent.",
        lambda facts, _: int(facts.paused == RESTORED),
    ),
    Row(
        "lane-held",
        "Messages of a study wait for an operator.",
        "`feed status` names the studies and reasons, `feed resume --study` lets one go.",
        lambda facts, _: facts.held_lanes,
    ),
    Row(
        "message-held",
        "No message is made since something is missing, nobody says whose number an MRN is, or a report's patient"
        " may be somebody else or has become another.",
        "`feed status` names the studies and reasons; for `authority-unknown` see"
        " [whose number an MRN is](#whose-number-an-mrn-is).",
        lambda facts, _: facts.held_rows,
    ),
    Row(
        "dead-letter",
        "Messages are not sent any more.",
        "`feed dead-letters` names the reasons, `feed replay` sends the current state.",
        lambda facts, _: len(facts.dead_letters),
        lambda facts: facts.dead_letters,
    ),
)
UNROUTED: Final = Row(
    "unrouted",
    "Signed reports that no destination takes.",
    "Add a destination or an [[ignore]] rule; `feed certificate` lists them.",
    lambda _, __: 0,
)
JOURNAL: Final = Row(
    "journal-not-written",
    "A gateway cannot write its feed journal; the feed goes on. It is told by that gateway's log and metrics alone.",
    "See that `feed.state_dir` is there, is writable and has room; what waits is written then.",
    lambda _, __: 0,
)


def alerts(destination: str, facts: FeedFacts, queue_age: float) -> Iterator[Alert]:
    """The conditions that hold about a destination; `queue_age` in seconds is how old a message may become."""
    for row in CONDITIONS:
        count = row.count(facts, queue_age)
        if count:
            yield Alert(row.code, destination, count, row.which(facts))


def alert_rows() -> Iterator[tuple[str, str, str]]:
    """Every condition as (code, meaning, remedy), for the documents."""
    for row in (*CONDITIONS, UNROUTED, JOURNAL):
        yield row.code, row.meaning, row.remedy
