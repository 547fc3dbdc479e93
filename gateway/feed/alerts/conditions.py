"""Table of the alert conditions of the feed, such as overdue critical results, with a function to detect each.

HL7 v2.5.1 §2.9.2 (a message without an acknowledgement may not have arrived); decisions D13, D31, D32, D37, D38. An
alert names a destination, studies and what it is about, gives counts, and names the next command. It holds nothing
about a patient. `AlertMonitor` in monitor.py tracks which conditions are new. What is urgent is mailed at once, the
rest once a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.mllp.listener import CROWDED
from gateway.store.database.probe import FULL, LOST
from gateway.store.feed.alerts import Cases, FeedFacts
from gateway.store.feed.states import (
    BREAKER_REASONS,
    CANCELLED_AFTER,
    HOLD_FEED,
    RESTORED,
    WITHOUT_ORDER,
    WRONG_VISIT,
)

NOT_CONNECTED: Final = "connect-failed"
NOT_SERVED: Final = "not-served"
UNSERVED: Final = 60.0  # seconds: a takeover by another process is far quicker
MOST_NAMED: Final = 3
_PAUSED_BY_ITSELF: Final = (*BREAKER_REASONS, RESTORED, HOLD_FEED, "refused-in-a-row", "messages-not-supported")
RUNBOOK: Final = "docs/runbooks.md"  # with a heading for each condition, its code


@dataclass(frozen=True, slots=True)
class Alert:
    """Alert condition that holds now: its code, its destination (empty: the whole feed), and a count or a duration.

    `cases` are the rows concerned, if each new row must be alerted; otherwise `studies` are the studies concerned.
    `mild` are the cases that escalate to nobody. `about` says what a case concerns, by its number; 0: the condition.
    """

    code: str
    destination: str
    count: int
    cases: Cases = field(default_factory=dict)
    studies: tuple[str, ...] = ()
    mild: frozenset[int] = frozenset()
    about: Mapping[int, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class AlertRow:
    """Definition of an alert condition: its meaning, and functions to measure it (count 0: it does not hold).

    `step` is the next command, with places for the destination and a study. `cases` gives the rows concerned if each
    new row must be alerted; otherwise `studies` gives the studies concerned; `about` says more of them. If `escalates`,
    a case that stays unacknowledged is also posted to the addresses of `[[feed.escalate]]`. Unless `is_urgent`, mail
    waits for the day's digest.
    """

    code: str
    meaning: str
    step: str
    count: Callable[[FeedFacts, float], int] = lambda _, __: 0
    cases: Callable[[FeedFacts], Cases] = lambda _: {}
    studies: Callable[[FeedFacts], tuple[str, ...]] = lambda _: ()
    about: Callable[[FeedFacts], Mapping[int, str]] = lambda facts: facts.about
    escalates: bool = False
    is_urgent: bool = True


_SHOW: Final = "feed show {study} --at {name}"
_STATUS: Final = "feed status"
_ONLINE: Final = "check-config --online"
_RESUME: Final = "feed resume {name} --dry-run"
_ORDER: Final = "orders show {study}"
_MESSAGES: Final = "orders messages"

CONDITIONS: Final = (
    AlertRow(
        "critical-overdue",
        "A critical result was signed longer ago than `critical_alert_minutes` and is not acknowledged.",
        _SHOW,
        lambda facts, _: len(facts.critical),
        lambda facts: facts.critical,
        escalates=True,
    ),
    AlertRow(
        "critical-blocked",
        "A critical result is not sent. It is a dead letter because of a rule of the receiver, or of its answer. Or it"
        " is held because the patient is not known well enough (`authority-unknown`, `mrn-unreadable`,"
        " `identity-conflict-held`, `name-absent`, `vista-patient-unknown`), has changed (`move`, `former-unknown`), or"
        " has had another number since a merge (`merge-move`). Or, where a hospital sends orders, since the receiver"
        " needs a number of the order (`accession-missing`, `placer-missing`).",
        _SHOW,
        lambda facts, _: len(facts.critical_blocked),
        lambda facts: facts.critical_blocked,
        escalates=True,
    ),
    AlertRow(
        "queue-age",
        "The oldest message, composed or not, has waited for longer than `feed.queue_age_alert_minutes`; the number is"
        " its age in seconds.",
        _STATUS,
        lambda facts, limit: int(facts.oldest) if facts.oldest > limit else 0,
    ),
    AlertRow(
        "application-ack-missing",
        "The receiver's interface accepted messages (CA) longer ago than `feed.queue_age_alert_minutes`, and its"
        " application has not answered, although `ack_mode` is `two_phase`.",
        _SHOW,
        lambda facts, _: len(facts.unaccepted),
        studies=lambda facts: tuple(facts.unaccepted.values()),
    ),
    AlertRow(
        NOT_SERVED,
        "Messages wait, and no process has served the destination for more than a minute; the number is the time in"
        " seconds.",
        _STATUS,
        lambda facts, _: int(facts.unserved) if facts.oldest and facts.unserved > UNSERVED else 0,
    ),
    AlertRow(
        "connection-down",
        "The receiver cannot be reached.",
        _ONLINE,
        lambda facts, _: int(facts.last_failure == NOT_CONNECTED),
    ),
    AlertRow(
        "destination-paused",
        "Nothing is sent to the destination: an operator paused it, or it permanently refuses every message.",
        _RESUME,
        lambda facts, _: int(bool(facts.paused) and facts.paused not in {*BREAKER_REASONS, RESTORED}),
    ),
    AlertRow(
        "circuit-breaker-open",
        "The destination answers every message with AR or CR. One message at a time is sent as a probe; sending"
        " resumes once one is accepted.",
        _RESUME,
        lambda facts, _: int(facts.paused in BREAKER_REASONS),
    ),
    AlertRow(
        "plan-waits",
        "Changed settings would send or stop reports that were signed before the change: too many to do so unasked, or"
        " critical results.",
        "feed plan {name} --reports",
        lambda facts, _: len(facts.planned),
        lambda facts: facts.planned_critical,
        lambda facts: tuple(facts.planned.values()),
    ),
    AlertRow(
        "database-restored",
        "The database is older than the messages sent, by the feed journal: nothing is sent to any destination.",
        "feed resume --restored",
        lambda facts, _: int(facts.paused == RESTORED),
    ),
    AlertRow(
        "lane-held",
        "Messages of a study wait for an operator.",
        _SHOW,
        lambda facts, _: len(facts.held_lanes),
        lambda facts: facts.held_lanes,
    ),
    AlertRow(
        "message-held",
        "No message is composed: a value is missing, the authority of an MRN is unknown, or the patient of a report"
        " may be another person, has changed, or has had another number since a merge. A missing accession number"
        " counts only after `accession_wait_minutes`, unless the result is critical.",
        _SHOW,
        lambda facts, _: len(facts.held_rows),
        lambda facts: facts.held_rows,
    ),
    AlertRow(
        WITHOUT_ORDER,
        "The order of a report came after the report had been sent without it, within the last day. A receiver that"
        " filed the report without an order may file a second one, once a correction names the order.",
        _ORDER,
        lambda facts, _: len(facts.without_order),
        lambda facts: facts.without_order,
        is_urgent=False,
    ),
    AlertRow(
        CANCELLED_AFTER,
        "The hospital cancelled the order of a report that was sent, within the last day. The report stays as it is:"
        " only AutoScribe withdraws reports.",
        _ORDER,
        lambda facts, _: len(facts.order_cancelled),
        lambda facts: facts.order_cancelled,
        is_urgent=False,
    ),
    AlertRow(
        WRONG_VISIT,
        "Reports were sent with the class, place or doctors of another patient's visit, which became known within the"
        " last day. Nothing is sent again by itself.",
        _ORDER,
        lambda facts, _: len(facts.wrong_visit),
        lambda facts: facts.wrong_visit,
    ),
    AlertRow(
        "dead-letter",
        "Messages were given up and are not sent any more.",
        "feed dead-letters {name}",
        lambda facts, _: len(facts.dead_letters),
        lambda facts: facts.dead_letters,
        about=lambda facts: facts.about_dead,
    ),
    AlertRow(
        "critical-not-filed",
        "A critical result was accepted, and the EHR does not show it as it was sent: `absent`, `other patient`, `older"
        " version` or `differs`.",
        _SHOW,
        lambda facts, _: len(facts.critical_not_filed),
        lambda facts: facts.critical_not_filed,
        escalates=True,
    ),
    AlertRow(
        "not-filed",
        "Reports were accepted, and the EHR does not show them as they were sent, critical results included.",
        _SHOW,
        lambda facts, _: len(facts.not_filed),
        lambda facts: facts.not_filed,
    ),
    AlertRow(
        "ehr-not-read",
        "Reports are to be read back from the EHR for more than three hours, and nothing is known of them: it does not"
        " answer, refuses the gateway, throttles, or `ehr_requests_per_hour` is too low.",
        _STATUS,
        lambda facts, _: len(facts.unread),
        studies=lambda facts: tuple(dict.fromkeys(facts.unread.values())),
    ),
)
CERTIFICATE: Final = AlertRow(
    "certificate-30-days",
    "A certificate ends within 30 days: of a receiver or another peer, of the gateway, or of an authority that it"
    " trusts. The number is the days that are left.",
    _ONLINE,
    is_urgent=False,
)
CERTIFICATE_URGENT: Final = AlertRow(
    "certificate-7-days",
    "A certificate ends within 7 days, has ended, or cannot be read. Then no connection is made that needs it. The"
    " number is the days that are left, at least 1.",
    _ONLINE,
)
SETTINGS_DIFFER: Final = AlertRow(
    "settings-differ",
    "A process has other settings of the destination than the process that sends to it; the latter's are in force.",
    _STATUS,
    is_urgent=False,
)
UNROUTED: Final = AlertRow(
    "unrouted",
    "Signed reports that no destination takes.",
    "feed certificate --all",
)
CANCELLED: Final = AlertRow(
    "cancelled-after-sign",
    "AutoScribe cancelled signed reports, and they stand as they were: in FHIR, and at every destination. `feed"
    " withdraw` or `feed leave` decides on each. Critical results among them escalate.",
    "feed show {study}",
    escalates=True,
)
NOT_LISTED: Final = AlertRow(
    "studies-not-listed",
    "Three sweeps in a row did not list studies with signed reports. The reports stand as they were.",
    _ONLINE,
    is_urgent=False,
)
LEFT_OPEN: Final = AlertRow(
    "left-open",
    "Work is open for a destination that is no longer in the settings, or not enabled, and that no process serves.",
    "feed certificate --all",
    is_urgent=False,
)
JOURNAL: Final = AlertRow(
    "journal-not-written",
    "A gateway cannot write its feed journal; the feed goes on. Only that gateway's log and metrics report this.",
    _ONLINE,
)
OF_THE_STORE: Final = (
    AlertRow(
        FULL,
        "The database takes no writes because its disk is full: nothing is ingested, and nothing is sent. The number"
        " is the time in seconds.",
        _ONLINE,
    ),
    AlertRow(
        LOST,
        "The database takes no writes: it cannot be reached, hangs, is locked by another program, or its disk is"
        " broken. Nothing is ingested, and nothing is sent. The number is the time in seconds.",
        _ONLINE,
    ),
)
AUDIT: Final = AlertRow(
    "audit-unavailable",
    "The audit journal takes no entries: FHIR requests for data are answered with 503. The feed goes on. The number is"
    " the time in seconds.",
    "audit verify",
)
FORWARDING: Final = AlertRow(
    "audit-not-forwarded",
    "No copy of the audit has left this machine for a minute or longer: its syslog receiver cannot be reached. The"
    " journal goes on, and nothing else stops. The number is the time in seconds.",
    _ONLINE,
    is_urgent=False,
)
JUDGE: Final = AlertRow(
    "judge-disagrees",
    "A FHIR resource of a shape that was accepted before was refused when it was judged whole. From then on the"
    " process judges every resource whole, in more time. The number is the time in seconds.",
    "version",
    is_urgent=False,
)
OF_AUTOSCRIBE: Final = (
    AlertRow(
        "autoscribe-unreachable",
        "AutoScribe has answered no request for a minute or longer, or each with an error of its own: no report is"
        " read. The number is the time in seconds.",
        _ONLINE,
    ),
    AlertRow(
        "autoscribe-refuses",
        "AutoScribe has refused the gateway's API key for a minute or longer: no report is read. The number is the"
        " time in seconds.",
        _ONLINE,
    ),
)
ORDERS: Final = (
    AlertRow(
        "order-message-failed",
        "A message of a hospital could not be applied because of a fault of the gateway. It is kept, and later messages"
        " about the same numbers wait with it. `orders messages` lists them; `orders retry` or `orders set-aside`"
        " settles one. The number is the time in seconds.",
        _MESSAGES,
    ),
    AlertRow(
        "order-source-gone",
        "Messages of a hospital wait for a source that is not in the settings any more: they were acknowledged, and"
        " nobody applies them. The number is the time in seconds.",
        _ONLINE,
    ),
    AlertRow(
        "order-message-held",
        "A message of a hospital was held within the last 24 hours: it was acknowledged, and contradicts what is known."
        " `orders messages` lists it; `orders retry` or `orders set-aside` settles it. The number is the time in"
        " seconds.",
        _MESSAGES,
    ),
    AlertRow(
        "merges-not-read-anew",
        "Within the last 24 hours the settings changed an authority, and merges could not be read anew: they stay under"
        " a system that the settings do not give to their source. The number is the time in seconds.",
        _ONLINE,
        is_urgent=False,
    ),
)
CONNECTIONS: Final = AlertRow(
    CROWDED,
    "Within the last hour a system opened more connections than a `[[source]]` or an `ack_listen` serves. For each"
    " further one the one that had been idle longest was closed; where none was idle, the new one was refused. The"
    " number is the time in seconds.",
    _ONLINE,
    is_urgent=False,
)
# Every condition by its code, including those that concern no single destination
ROWS: Final = {
    row.code: row
    for row in (
        *(*CONDITIONS, SETTINGS_DIFFER, UNROUTED, CANCELLED, NOT_LISTED, LEFT_OPEN, JOURNAL),
        *(CERTIFICATE, CERTIFICATE_URGENT),
        *(*OF_THE_STORE, *OF_AUTOSCRIBE, AUDIT, FORWARDING, JUDGE, *ORDERS, CONNECTIONS),
    )
}


def alerts(destination: str, facts: FeedFacts, queue_age: float, where: str = "") -> Iterator[Alert]:
    """Yield the conditions that hold at a destination, which `where` describes.

    `queue_age` is the longest that a message may wait, in seconds.
    """
    for row in CONDITIONS:
        count = row.count(facts, queue_age)
        if count:
            cases, said = row.cases(facts), row.about(facts)
            about = {0: _why(row, facts, where)} | {one: said.get(one, study) for one, study in cases.items()}
            yield Alert(row.code, destination, count, cases, row.studies(facts), about=about)


def next_step(code: str, destination: str, study_id: str = "") -> str:
    """Return the next command of an alert, with capitals in place of what is not known."""
    step = ROWS[code].step if code in ROWS else _STATUS  # an alert that another release stored
    return step.format(name=destination or "NAME", study=study_id or "STUDY")


def _why(row: AlertRow, facts: FeedFacts, where: str) -> str:
    """Say what a condition as a whole concerns: the destination, and why it is paused, or what its receiver took."""
    if row.code == "application-ack-missing":
        return "; ".join(facts.about.get(one, study) for one, study in list(facts.unaccepted.items())[:MOST_NAMED])
    own_words = facts.paused and facts.paused not in _PAUSED_BY_ITSELF  # what an operator wrote may be anything
    why = "paused by an operator" if own_words else facts.paused or facts.last_failure
    return f"{where}: {why}" if why else where
