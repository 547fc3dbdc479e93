"""`feed status`, `feed dead-letters`: show the state of each destination, and what was given up, without patient data.

Carries out no clause of a standard; decisions D9, D31-D34, D37.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from gateway.feed.alerts.certificates import WatchedCertificate, watched_certificates
from gateway.feed.alerts.conditions import next_step
from gateway.feed.fate import KINDS, FatePlace, open_fates, places
from gateway.feed.holding import facilities_of, held_step
from gateway.feed.operator.arguments import CommandAnswer, at, counted, destinations_named, json_of
from gateway.feed.operator.cancelled import OpenCancellation, cancelled_lines, cancelled_open
from gateway.feed.plan.counts import PlanCounts, plan_of
from gateway.ingest.settings_in_force import wanted
from gateway.routing import Destination, routes_of
from gateway.routing.filter import Ignore
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant, micros, moment
from gateway.store.feed import plans
from gateway.store.feed.alerts import StandingAlert, standing_alerts
from gateway.store.feed.destinations import known as names_of
from gateway.store.feed.destinations import known_as
from gateway.store.feed.leases import LeaseStanding, lease_standings
from gateway.store.feed.ledger import DeadLetter, HeldLane, HeldRow, last_ack, stock, unrouted_before_start
from gateway.store.feed.ledger import dead_letters as dead_letters_at
from gateway.store.feed.messages import DayDelivered, day_delivered
from gateway.store.feed.plans import in_force_of, unplanned
from gateway.store.feed.states import BREAKER_REASONS, FREED_BY_HAND, RESTORED

_MOST_ABOUT: Final = 5
MOST_LANES: Final = 20  # the most held lanes, and the most held outbox rows, that are listed
_SECOND: Final = 1_000_000
_NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """Study held at a destination: the reason, the start, what it is about, and the next command.

    `about` is the message that was refused with the answer's code, or the facility whose settings lack something.
    """

    study_id: str
    reason: str
    since: datetime
    about: str
    step: str


@dataclass(frozen=True, slots=True)
class UncomposedReport(HeldStudy):
    """Report of a held study for which no message is composed."""

    is_critical: bool = field(metadata={"key": "critical"})

    @property
    def is_freed_by_hand(self) -> bool:
        """True if an operator lets it go on; else it goes by itself, once the value or the decision is there."""
        return self.reason in FREED_BY_HAND


@dataclass(frozen=True, slots=True)
class DestinationLink:
    """Lease and pause of a destination. `known_as` is its name in the database until the service starts."""

    name: str
    known_as: str
    settings: str
    holder: str
    lease_until: datetime | None
    paused: str
    paused_since: datetime | None
    breaker: str
    breaker_since: datetime | None

    @property
    def needs_journal(self) -> bool:
        """True if only a replay of the feed journal ends the pause."""
        return self.paused == RESTORED

    @property
    def resume_step(self) -> str:
        """Command that ends the pause."""
        return f"feed resume {self.name}{' --restored' if self.needs_journal else ''}"


@dataclass(frozen=True, slots=True)
class LastAcknowledgement:
    """Acknowledgement of the newest delivered message of a destination."""

    control_id: str
    ack: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DestinationQueue:
    """Queue of a destination: messages and outbox rows by state, and what is held, oldest first.

    `queue` counts open messages, composed or not; `held` the held studies, and reports that no message is composed of.
    """

    queue: int
    held: int
    messages: Mapping[str, int]
    outbox: Mapping[str, int]
    held_for: Mapping[str, int]
    oldest_open_seconds: int | None
    held_lanes: int
    lanes: tuple[HeldStudy, ...]
    held_rows: tuple[UncomposedReport, ...]
    indeterminate: int
    last_ack: LastAcknowledgement | None
    dead_letters: int
    critical_dead_letters: int


@dataclass(frozen=True, slots=True)
class SettingsStanding:
    """Settings in force at a destination, and the plan for reports signed earlier (D37)."""

    settings_since: datetime | None
    settings_differ: bool
    undecided: int
    unplanned: tuple[str, ...]
    plan: PlanCounts | None


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """State of a destination; `open_reports` counts its open reports by fate."""

    link: DestinationLink
    queue: DestinationQueue
    day: DayDelivered
    standing: SettingsStanding
    open_reports: Mapping[str, int]

    @property
    def said(self) -> dict[str, object]:
        """The state as one JSON object."""
        parts = (json_of(one) for one in (self.link, self.queue, self.standing))
        day = {
            "delivered24h": self.day.messages,
            "signToAckP50Seconds": self.day.p50,
            "signToAckP99Seconds": self.day.p99,
        }
        return {key: value for part in parts for key, value in part.items()} | day | {"openReports": self.open_reports}


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """Alert as the monitor last found it: who acknowledged it, what it is about, and the next command."""

    alert: str
    destination: str
    count: int
    since: datetime
    acknowledged_by: str
    acknowledged_at: datetime | None
    about: tuple[str, ...]
    step: str


@dataclass(frozen=True, slots=True)
class FeedStatus(CommandAnswer):
    """Answer of `feed status`: each destination (those of the settings first), and causes that none takes."""

    at: datetime
    destinations: tuple[DestinationStatus, ...]
    unrouted: int
    unrouted_before_start: int
    ignored: int
    cancelled_after_sign: tuple[OpenCancellation, ...]
    alerts: tuple[OpenAlert, ...]
    certificates: tuple[WatchedCertificate, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the status as lines for people."""
        for destination in self.destinations:
            yield from _destination_lines(destination)
        before = self.unrouted_before_start
        history = f" ({before} of them signed before each destination's start)" if before else ""
        yield from cancelled_lines(self.cancelled_after_sign)
        yield f"no destination takes: {self.unrouted} unrouted{history}, {self.ignored} ignored by a rule"
        for alert in self.alerts:
            yield _alert_line(alert)
            yield from (f"  about     {one}" for one in alert.about[:_MOST_ABOUT])
            yield f"  next      {alert.step}"
        yield from (one.line(self.at) for one in self.certificates)
        if not self.destinations:
            yield "no destination is set up"


async def status(engine: Engine, configuration: Configuration, *, is_brief: bool = False) -> FeedStatus:
    """Return the state of each destination.

    If `is_brief`, it lacks what takes longer the more reports there are: open reports, and counts of what is settled.

    Raises:
        ConfigError: the settings of a destination are wrong.
        StoreUnavailable: the store cannot be reached.
    """
    routes = routes_of(configuration)
    now = micros(clock.now())
    stands = {one.name: one for one in await lease_standings(engine)}
    known = {await known_as(engine, one.name, one.formerly): one for one in routes.destinations}
    configured = {*known, *(one.name for one in routes.destinations)}
    names = [*known, *(name for name in await names_of(engine) if name not in configured)]
    destinations = [
        DestinationStatus(
            _link(name, known.get(name), stands.get(name)),
            await _queue(engine, name, known[name].name if name in known else name, now, is_brief=is_brief),
            await day_delivered(engine, name),
            await _standing(engine, name, known.get(name), routes.ignores),
            {} if is_brief else await _open(engine, name, known.get(name)),
        )
        for name in names
    ]
    nobody = await stock(engine, _NOBODY, MOST_LANES, is_brief=is_brief)
    return FeedStatus(
        instant(now),
        tuple(destinations),
        nobody.rows.get("unrouted", 0),
        await unrouted_before_start(engine),
        nobody.rows.get("ignored", 0),
        await cancelled_open(engine),
        tuple(_alert(one) for one in await standing_alerts(engine) if one.cases),
        await watched_certificates(engine, configuration),
    )


def _alert(alert: StandingAlert) -> OpenAlert:
    is_open = bool(alert.unacknowledged)
    return OpenAlert(
        alert.code,
        alert.destination,
        alert.count,
        instant(min(case.since for case in alert.cases.values())),
        "" if is_open else alert.acknowledged_by,
        None if is_open else moment(alert.acknowledged_at),
        alert.about,
        next_step(alert.code, alert.destination, next((one.study_id for one in alert.cases.values()), "")),
    )


def _link(name: str, known: Destination | None, stands: LeaseStanding | None) -> DestinationLink:
    is_open = stands is not None and stands.paused in BREAKER_REASONS
    paused, since = (stands.paused, moment(stands.paused_since)) if stands else ("", None)
    return DestinationLink(
        name if known is None else known.name,
        name,
        "none" if known is None else "enabled" if known.is_enabled else "not enabled",
        stands.holder if stands else "",
        instant(stands.expires) if stands and stands.holder else None,
        "" if is_open else paused,
        None if is_open else since,
        paused if is_open else "",
        since if is_open else None,
    )


async def _queue(engine: Engine, name: str, label: str, now: int, *, is_brief: bool) -> DestinationQueue:
    stored = await stock(engine, name, MOST_LANES, is_brief=is_brief)
    given_up, last = await dead_letters_at(engine, name), await last_ack(engine, name)
    facilities = await facilities_of(engine, {one.study_id for one in stored.held_rows})
    return DestinationQueue(
        stored.queue,
        stored.held,
        stored.messages,
        stored.rows,
        stored.held_for,
        None if stored.oldest is None else max(0, (now - stored.oldest) // _SECOND),
        stored.lane_count,
        tuple(_held(one, label) for one in stored.lanes),
        tuple(_uncomposed(one, label, facilities.get(one.study_id, "")) for one in stored.held_rows),
        stored.messages.get("indeterminate", 0),
        None if last is None else LastAcknowledgement(last.control_id, last.ack, instant(last.at)),
        len(given_up),
        sum(letter.is_critical for letter in given_up),
    )


def _held(lane: HeldLane, name: str) -> HeldStudy:
    about = " ".join(one for one in (f"message {lane.control_id}", lane.code) if one) if lane.control_id else ""
    step = held_step(lane.reason, name, lane.study_id, lane.control_id)
    return HeldStudy(lane.study_id, lane.reason, instant(lane.since), about, step)


def _uncomposed(row: HeldRow, name: str, facility: str) -> UncomposedReport:
    step = held_step(row.reason, name, row.study_id)
    about = f"facility {facility}" if facility else ""
    return UncomposedReport(row.study_id, row.reason, instant(row.since), about, step, row.is_critical)


async def _open(engine: Engine, name: str, known: Destination | None) -> dict[str, int]:
    """Count the stored reports that are open at a destination, by fate (D49)."""
    [place] = await places(engine, [known]) if known is not None else [FatePlace(name, name, is_owed=False)]
    counts = Counter([one.fate.kind async for one in open_fates(engine, place)])
    return {kind: counts[kind] for kind in KINDS if counts[kind]}


async def _standing(
    engine: Engine, name: str, known: Destination | None, ignores: tuple[Ignore, ...]
) -> SettingsStanding:
    in_force = await in_force_of(engine, name)
    plan = plan_of(await plans.plan_rows(engine, name))
    own = wanted(known.terms, ignores).digest if known is not None else ""
    is_open = known is not None and known.is_enabled and (in_force is None or in_force.planned is None)
    return SettingsStanding(
        instant(in_force.since) if in_force else None,
        in_force is not None and own not in {"", in_force.digest},
        await plans.count_undecided(engine, name) if is_open else 0,
        tuple(sorted(await unplanned(engine, name))[:MOST_LANES]),
        plan if plan.size else None,
    )


def _destination_lines(destination: DestinationStatus) -> Iterator[str]:
    """Yield the lines of one destination."""
    queue = destination.queue
    yield from _link_lines(destination.link)
    yield from _standing_lines(destination.standing, destination.link.name)
    age = queue.oldest_open_seconds
    oldest = "" if age is None else f"; the oldest open one is {_age(age)} old"
    yield f"  messages  {_listed(queue.messages)}{oldest}"
    yield f"  in 24 h   {counted(destination.day.messages, 'message')} delivered{_how_fast(destination.day)}"
    if queue.last_ack is not None:
        yield f"  last ack  {queue.last_ack.ack or 'none'} for {queue.last_ack.control_id}, {at(queue.last_ack.at)}"
    reasons = f" (held for {_listed(queue.held_for)})" if queue.held_for else ""
    rows = {_IN_WORDS.get(name, name): n for name, n in queue.outbox.items()}
    yield f"  ledger    {_listed(rows)}{reasons}"
    if queue.dead_letters:
        given_up = counted(queue.dead_letters, "dead letter")
        yield f"  given up  {given_up}, {queue.critical_dead_letters} of them critical"
    for lane in queue.lanes:
        yield f"  held      {lane.study_id}  {lane.reason}, since {at(lane.since)}{_of(lane)}"
    if queue.held_lanes > len(queue.lanes):
        yield f"  held      {counted(queue.held_lanes - len(queue.lanes), 'more study')}"
    for row in queue.held_rows:
        critical = ", critical" if row.is_critical else ""
        yield f"  not made  {row.study_id}  {row.reason}, since {at(row.since)}{_of(row)}{critical}"
    if (more := queue.outbox.get("held", 0) - len(queue.held_rows)) > 0:
        yield f"  not made  {counted(more, 'more report')}"
    if fates := destination.open_reports:
        kinds = ", ".join(f"{count} {kind}" for kind, count in fates.items())
        yield f"  open      {counted(sum(fates.values()), 'report')}: {kinds}"


def _of(held: HeldStudy) -> str:
    """Return what a held line is about, and the next command."""
    return f"{f'; {held.about}' if held.about else ''}; next: {held.step}"


def _how_fast(day: DayDelivered) -> str:
    """Return the seconds from signature to acknowledgement, as upper bounds, if any message was acknowledged."""
    known = [(name, seconds) for name, seconds in (("p50", day.p50), ("p99", day.p99)) if seconds is not None]
    return "; sign to ACK " + ", ".join(f"{name} within {seconds} s" for name, seconds in known) if known else ""


def _link_lines(link: DestinationLink) -> Iterator[str]:
    """Yield the lines: who holds a destination's lease, and why nothing is sent to it."""
    served = f"served by {link.holder}" if link.holder else "served by nobody"
    absent = "" if link.settings == "enabled" else f", {_SETTINGS[link.settings]}"
    yield f"{link.name}: {served}{absent}"
    if link.known_as != link.name:
        yield f"  name      {link.known_as} until the gateway starts with these settings"
    if link.paused:
        yield f"  paused    {link.paused}, since {json_of(link.paused_since)}"
    if link.breaker:
        yield f"  breaker   open ({link.breaker}), since {json_of(link.breaker_since)}: one message probes"


def _alert_line(alert: OpenAlert) -> str:
    """Return the line of an alert: its destination, since when, and who acknowledged it."""
    where = f" at {alert.destination}" if alert.destination else ""
    seen = f"acknowledged by {alert.acknowledged_by}" if alert.acknowledged_by else "nobody acknowledged it"
    return f"alert {alert.alert}{where}: since {at(alert.since)}, {alert.count} when it last changed; {seen}"


def _standing_lines(standing_of: SettingsStanding, name: str) -> Iterator[str]:
    """Yield the lines: how these settings differ from those in force, and the plan."""
    if standing_of.settings_differ:
        yield "  settings  these are not in force: start the service with them first"
    if standing_of.undecided:
        yield f"  undecided {counted(standing_of.undecided, 'report')}: its settings are not in force yet"
    for study_id in standing_of.unplanned:
        yield f"  undecided {study_id}: not planned because of a bug; it is tried again"
    if standing_of.plan:
        yield f"  plan      {standing_of.plan}; feed apply {name}"


# State of an outbox row -> the same in words
_IN_WORDS: Final = {
    "waiting": "to be composed",
    "rendered": "composed",
    "merged": "sent with another change",
    "nothing": "nothing to send",
    "before_start": "before its start",
    "excluded": "left out by a filter",
    "to_stop": "to stop",
    "left": "left unsent",
}
_SETTINGS: Final = {"none": "not in the settings", "not enabled": "not enabled"}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _age(seconds: int) -> str:
    """Write a duration in the largest unit of which there are at least two."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"


_RULE: Final = "rule-"


@dataclass(frozen=True, slots=True)
class ListedDeadLetter:
    """Dead letter with the rule that its message broke, and the source of the rule; both None if it broke none."""

    destination: str
    report_id: str
    study_id: str
    cause: str
    reason: str
    control_id: str
    rule: str | None
    source: str | None
    is_critical: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class DeadLetters(CommandAnswer):
    """Dead letters, oldest first at each destination."""

    letters: tuple[ListedDeadLetter, ...]

    @property
    def document(self) -> Any:
        """The dead letters as a JSON list."""
        return json_of(self.letters)

    def lines(self) -> Iterator[str]:
        """Yield a line for each dead letter, and their number."""
        for letter in self.letters:
            critical = "  CRITICAL" if letter.is_critical else ""
            rule = f"  ({letter.rule}; {letter.source})" if letter.rule else ""
            ids = f"{letter.destination}  {letter.report_id}  {letter.study_id}"
            step = f"  next: feed show {letter.control_id} --at {letter.destination}"
            yield f"{ids}  {letter.reason}{rule}  since {at(letter.since)}{step}{critical}"
        yield counted(len(self.letters), "dead letter")


async def dead_letters(engine: Engine, configuration: Configuration, name: str | None) -> DeadLetters:
    """Return the dead letters of one destination or all.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    return DeadLetters(
        tuple(
            [
                _listed_letter(destination, row)
                for destination in destinations_named(configuration, name, enabled=False)
                for row in await dead_letters_at(engine, await known_as(engine, destination.name, destination.formerly))
            ]
        )
    )


def _listed_letter(destination: Destination, letter: DeadLetter) -> ListedDeadLetter:
    rules = {one.name: one for one in destination.receiver.rules}
    rule = rules.get(letter.reason.removeprefix(_RULE)) if letter.reason.startswith(_RULE) else None
    return ListedDeadLetter(
        destination.name,
        letter.report_id,
        letter.study_id,
        letter.kind,
        letter.reason,
        letter.control_id,
        str(rule) if rule else None,
        rule.source if rule else None,
        letter.is_critical,
        instant(letter.since),
    )
