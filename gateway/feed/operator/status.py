"""`feed status`: show queue, lease, faults and alerts of each destination in codes and counts, without patient data.

Carries out no clause of a standard; decisions D9, D31-D33, D37.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from gateway.feed.fate import KINDS, FatePlace, open_fates, places
from gateway.feed.operator.arguments import Say, counted
from gateway.feed.operator.cancelled import cancelled_lines, cancelled_open
from gateway.feed.plan.counts import plan_of
from gateway.ingest.assembly import store_for_command
from gateway.ingest.settings_in_force import wanted
from gateway.routing import Destination, routes_of
from gateway.routing.filter import Ignore
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant_text, micros
from gateway.store.feed import plans
from gateway.store.feed.alerts import StandingAlert, standing_alerts
from gateway.store.feed.destinations import known as names_of
from gateway.store.feed.destinations import known_as
from gateway.store.feed.leases import LeaseStanding, standing
from gateway.store.feed.ledger import dead_letters, stock, unrouted_before_start
from gateway.store.feed.plans import in_force_of, unplanned
from gateway.store.feed.states import BREAKER_REASONS

MOST_LANES: Final = 20  # the most held lanes, and the most held outbox rows, that are listed
_SECOND: Final = 1_000_000
_NOBODY: Final = ""


async def status(configuration: Configuration, say: Say, *, as_json: bool = False) -> int:
    """Print the state of each destination, those of the settings first; always return 0."""
    routes = routes_of(configuration)
    now = micros(clock.now())
    async with store_for_command(configuration, writes=False) as engine:
        stands = {one.name: one for one in await standing(engine)}
        known = {await known_as(engine, one.name, one.formerly): one for one in routes.destinations}
        named = {*known, *(one.name for one in routes.destinations)}
        names = [*known, *(name for name in await names_of(engine) if name not in named)]
        destinations = [
            await _destination(engine, name, known.get(name), stands.get(name), now)
            | await _plan(engine, name, known.get(name), routes.ignores)
            | await _open(engine, name, known.get(name))
            for name in names
        ]
        nobody = await stock(engine, _NOBODY, MOST_LANES)
        history = await unrouted_before_start(engine)
        cancelled = await cancelled_open(engine)
        alerts = [_alert(one) for one in await standing_alerts(engine) if one.cases]
    overview = {
        "at": instant_text(now),
        "destinations": destinations,
        "unrouted": nobody.rows.get("unrouted", 0),
        "unroutedBeforeStart": history,
        "ignored": nobody.rows.get("ignored", 0),
        "cancelledAfterSign": cancelled,
        "alerts": alerts,
    }
    if as_json:
        say(json.dumps(overview, indent=2))
        return 0
    for line in _lines(overview):
        say(line)
    return 0


def _alert(alert: StandingAlert) -> dict[str, Any]:
    """Return an alert as JSON, as the monitor last saw it, with its acknowledgement."""
    is_open = bool(alert.unacknowledged)
    return {
        "alert": alert.code,
        "destination": alert.destination,
        "count": alert.count,
        "since": _moment(min(case.since for case in alert.cases.values())),
        "acknowledgedBy": "" if is_open else alert.acknowledged_by,
        "acknowledgedAt": None if is_open else _moment(alert.acknowledged_at),
    }


async def _destination(
    engine: Engine, name: str, known: Destination | None, stands: LeaseStanding | None, now: int
) -> dict[str, Any]:
    counted = await stock(engine, name, MOST_LANES)
    given_up = await dead_letters(engine, name)
    is_open = stands is not None and stands.paused in BREAKER_REASONS
    return {
        "name": name if known is None else known.name,
        "knownAs": name,
        "settings": "none" if known is None else "enabled" if known.is_enabled else "not enabled",
        "holder": stands.holder if stands else "",
        "leaseUntil": instant_text(stands.expires) if stands and stands.holder else None,
        "paused": stands.paused if stands and not is_open else "",
        "pausedSince": _moment(stands.paused_since) if stands and not is_open else None,
        "breaker": stands.paused if stands and is_open else "",
        "breakerSince": _moment(stands.paused_since) if stands and is_open else None,
        "messages": counted.messages,
        "outbox": counted.rows,
        "heldFor": counted.held_for,
        "oldestOpenSeconds": None if counted.oldest is None else max(0, (now - counted.oldest) // _SECOND),
        "heldLanes": counted.lane_count,
        "lanes": [
            {"studyId": lane.study_id, "reason": lane.reason, "since": _moment(lane.since)} for lane in counted.lanes
        ],
        "heldRows": [
            {"studyId": row.study_id, "reason": row.reason, "since": _moment(row.since), "critical": row.is_critical}
            for row in counted.held_rows
        ],
        "indeterminate": counted.messages.get("indeterminate", 0),
        "deadLetters": len(given_up),
        "criticalDeadLetters": sum(letter.is_critical for letter in given_up),
    }


async def _open(engine: Engine, name: str, known: Destination | None) -> dict[str, Any]:
    """Return how many stored reports are open at a destination, by their fate (D49)."""
    [place] = await places(engine, [known]) if known is not None else [FatePlace(name, name, is_owed=False)]
    counts = Counter([one.fate.kind async for one in open_fates(engine, place)])
    return {"openReports": {kind: counts[kind] for kind in KINDS if counts[kind]}}


async def _plan(engine: Engine, name: str, known: Destination | None, ignores: tuple[Ignore, ...]) -> dict[str, Any]:
    """Return the settings in force, and the plan for reports signed before them (D37)."""
    standing = await in_force_of(engine, name)
    plan = plan_of(await plans.waiting(engine, name))
    own = wanted(known.terms, ignores).digest if known is not None else ""
    is_open = known is not None and known.is_enabled and (standing is None or standing.planned is None)
    counts = {key: value for key, value in asdict(plan).items() if key != "oldest"}
    return {
        "settingsSince": instant_text(standing.since) if standing else None,
        "settingsDiffer": standing is not None and own not in {"", standing.digest},
        "undecided": await plans.undecided(engine, name) if is_open else 0,
        "unplanned": sorted(await unplanned(engine, name))[:MOST_LANES],
        "plan": {**counts, "said": str(plan)} if plan.size else None,
    }


def _lines(overview: Mapping[str, Any]) -> Iterator[str]:
    """Yield the status as lines for people."""
    for destination in overview["destinations"]:
        yield from _head_lines(destination)
        yield from _plan_lines(destination)
        age = destination["oldestOpenSeconds"]
        oldest = "" if age is None else f"; the oldest open one is {_age(age)} old"
        yield f"  messages  {_listed(destination['messages'])}{oldest}"
        reasons = f" (held for {_listed(destination['heldFor'])})" if destination["heldFor"] else ""
        rows = {_IN_WORDS.get(name, name): n for name, n in destination["outbox"].items()}
        yield f"  ledger    {_listed(rows)}{reasons}"
        if destination["deadLetters"]:
            given_up = counted(destination["deadLetters"], "dead letter")
            yield f"  given up  {given_up}, {destination['criticalDeadLetters']} of them critical"
        for lane in destination["lanes"]:
            yield f"  held      {lane['studyId']}  {lane['reason']}, since {lane['since']}"
        if destination["heldLanes"] > len(destination["lanes"]):
            yield f"  held      {counted(destination['heldLanes'] - len(destination['lanes']), 'more study')}"
        for row in destination["heldRows"]:
            critical = ", critical" if row["critical"] else ""
            yield f"  not made  {row['studyId']}  {row['reason']}, since {row['since']}{critical}"
        if (more := destination["outbox"].get("held", 0) - len(destination["heldRows"])) > 0:
            yield f"  not made  {counted(more, 'more report')}"
        if destination["openReports"]:
            yield f"  open      {counted(sum(destination['openReports'].values()), 'report')}: {_fates(destination)}"
    before = overview["unroutedBeforeStart"]
    history = f" ({before} of them signed before each destination's start)" if before else ""
    yield from cancelled_lines(overview["cancelledAfterSign"])
    yield f"no destination takes: {overview['unrouted']} unrouted{history}, {overview['ignored']} ignored by a rule"
    yield from map(_alert_line, overview["alerts"])
    if not overview["destinations"]:
        yield "no destination is set up"


def _head_lines(destination: Mapping[str, Any]) -> Iterator[str]:
    """Yield the holder of a destination's lease, and why nothing is sent to it."""
    served = f"served by {destination['holder']}" if destination["holder"] else "served by nobody"
    absent = "" if destination["settings"] == "enabled" else f", {_SETTINGS[destination['settings']]}"
    yield f"{destination['name']}: {served}{absent}"
    if destination["knownAs"] != destination["name"]:
        yield f"  name      {destination['knownAs']} until the gateway starts with these settings"
    if destination["paused"]:
        yield f"  paused    {destination['paused']}, since {destination['pausedSince']}"
    if destination["breaker"]:
        yield f"  breaker   open ({destination['breaker']}), since {destination['breakerSince']}: one message probes"


def _alert_line(alert: Mapping[str, Any]) -> str:
    """Return the line of an alert: its destination, since when, and who acknowledged it."""
    where = f" at {alert['destination']}" if alert["destination"] else ""
    seen = f"acknowledged by {alert['acknowledgedBy']}" if alert["acknowledgedBy"] else "nobody acknowledged it"
    return f"alert {alert['alert']}{where}: since {alert['since']}, {alert['count']} when it last changed; {seen}"


def _plan_lines(destination: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences between these settings and those in force, and the plan."""
    if destination["settingsDiffer"]:
        yield "  settings  these are not in force: start the service with them first"
    if destination["undecided"]:
        yield f"  undecided {counted(destination['undecided'], 'report')}: its settings are not in force yet"
    for study_id in destination["unplanned"]:
        yield f"  undecided {study_id}: not planned because of a bug; it is tried again"
    if destination["plan"]:
        yield f"  plan      {destination['plan']['said']}; feed apply {destination['name']}"


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


def _fates(destination: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in destination["openReports"].items())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _moment(microseconds: int | None) -> str | None:
    return None if microseconds is None else instant_text(microseconds)


def _age(seconds: int) -> str:
    """Return seconds in the largest unit of which there are at least two."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
