"""Compose the messages of due outbox rows, several studies at once, and store them; stored bytes never change.

Carries out no clause of a standard; decisions D7, D13, D18, D28, D31, D34. This module reads and writes the store; the
kind of payload decides the messages (for HL7 v2: gateway/feed/compose/compose.py).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final, TypeAlias, TypeVar, TypeVarTuple

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.payload import PayloadKind, StudyRound
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.runtime.errors import StoreError, WorkerLost
from gateway.runtime.log import code_of, get_logger, is_debugging
from gateway.runtime.metrics import Metrics
from gateway.store import intake
from gateway.store.database import facts
from gateway.store.database.engine import Engine, micros
from gateway.store.database.kept import Kept, kept
from gateway.store.feed.destinations import origin
from gateway.store.feed.leases import PAUSED, Lease, LeaseLost
from gateway.store.feed.outbox import (
    BEHIND,
    ComposedStudy,
    Outbox,
    SettledRow,
    WaitingRow,
    retry_held,
    retry_held_of,
    settle_failed,
    store_composed,
)
from gateway.store.feed.restoring import doubtful_span
from gateway.store.feed.sent import SentState, formers, read_sent
from gateway.store.feed.states import (
    AUTHORITY_UNKNOWN,
    CONFLICT_HELD,
    MAY_HAVE_BEEN_SENT,
    MERGED,
    MRN_UNREADABLE,
    ORDER_AWAITED,
    REFILE_RELEASED,
    RELEASED,
    RESTORED,
    VISTA_UNKNOWN,
)
from gateway.store.stored_reports import Pdfs
from gateway.store.studies.search import issues
from mappings.issues import MappingIssue
from mappings.model import Study
from mappings.profile import Site
from mappings.values.dates import parse_instant

_DAY: Final = 24 * 3600 * 1_000_000
_LATE: Final = _DAY  # the longest until a change is ingested (`sync.report_refetch_hours`)
_SKEW: Final = 600 * 1_000_000  # the most that AutoScribe's clock may be ahead of ours
_FOUND: Final = 7 * _DAY  # by then every study was read again, so a row decided later is a new change


def is_doubtful(row: WaitingRow, study: Study, since: int, until: int) -> bool:
    """True if a row's message may have been sent in the span that a restore lost, from `since` to `until`.

    Both are in microseconds. A row is doubtful if its report changed in that span or up to a day before it, or at an
    unknown instant. Replays and backloads are never doubtful.
    """
    if row.kind == "replay" or row.priority == BEHIND or row.decided > until + _FOUND:
        return False
    changed = [
        micros(instant)
        for report in study.reports
        if report.report_id == row.report_id
        for instant in map(parse_instant, (report.signed_at, report.updated_at))
        if instant is not None and micros(instant) < row.decided + _SKEW
    ]
    return not changed or since - _LATE <= max(changed) < until


AT_ONCE: Final = 48
TOGETHER: Final = 8  # studies whose messages are stored in one commit
NOT_MADE: Final = "not-made"
_MOST_ISSUES: Final = 1_000
Given = TypeVar("Given")
Result = TypeVar("Result")
More = TypeVarTuple("More")
Span: TypeAlias = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Due:
    """Study whose messages are due: its compressed data, what was sent of it, and its waiting rows."""

    study_id: str
    revision: int
    packed: bytes
    sent: SentState
    rows: Sequence[WaitingRow]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Study with everything that composing needs, and the rows to compose."""

    study_id: str
    of: StudyRound
    rows: Sequence[WaitingRow]


class DueRenderer:
    """Composer of all messages to one destination, in one message format."""

    def __init__(
        self, engine: Engine, site: Site, destination: Destination, metrics: Metrics, payload: PayloadKind = HL7V2
    ) -> None:
        self.engine, self.destination, self.payload, self._metrics = engine, destination, payload, metrics
        self._site = destination.site(site)
        self._outbox = Outbox(engine)

    async def see_settings(self, lease: Lease) -> None:
        """Read the name that control ids are made from, and retry held rows whose reason changed settings may remove.

        Raises:
            LeaseLost: another process holds the destination's lease.
            StoreUnavailable: the store cannot be reached.
        """
        self.destination = replace(self.destination, first_name=await origin(self.engine, self.destination.name))
        for kind, values, reasons in _by_settings(self._site, self.destination):
            fact = f"{kind}:{self.destination.name}"
            digest = hashlib.sha256("\x1e".join(values).encode()).hexdigest()
            if await facts.claimed(self.engine, fact, digest) != digest:
                for reason in reasons:
                    await self.engine.do(partial(retry_held, lease, reason, micros(clock.now())))
                await facts.put(self.engine, fact, digest)

    async def once(self, lease: Lease) -> int:
        """Compose the messages of all studies that are due; return the number of studies done.

        Raises:
            LeaseLost: another process holds the destination's lease.
            StoreUnavailable: the store cannot be reached.
        """
        name = self.destination.name
        paused = await self.engine.fetch(PAUSED, name=name)
        if paused and paused[0][0] == RESTORED:
            return 0  # until the journal is replayed, it is unknown which messages were sent
        await self._end_waits(lease)
        due = await self._outbox.due(name, clock.now(), AT_ONCE)
        return sum([await self._compose_studies(lease, due[at : at + TOGETHER]) for at in range(0, len(due), TOGETHER)])

    async def _end_waits(self, lease: Lease) -> None:
        """Stop waiting for orders that have not come in time: their rows are composed now (D48)."""
        if wait := self.destination.hold_until_matched:
            until = clock.now() - timedelta(seconds=wait)
            study_ids = await self._outbox.waited(self.destination.name, ORDER_AWAITED, until, AT_ONCE)
            if study_ids:
                ends = partial(retry_held_of, lease, study_ids, ORDER_AWAITED, micros(clock.now()))
                await self.engine.do(ends)

    async def _compose_studies(self, lease: Lease, study_ids: Sequence[str]) -> int:
        """Compose the messages of these studies and store them in one commit; return the number of studies done."""
        due, span = await self._due(study_ids), await doubtful_span(self.engine, self.destination.name)
        asked = [await self._asked(lease, *one, span) for one in zip(due, await _computed(_known, due), strict=True)]
        rounds = [one for one in asked if one is not None]
        if not rounds:
            return 0
        study_issues = _by_study(
            await issues(self.engine, [one.study_id for one in rounds], _MOST_ISSUES * len(rounds))
        )
        composed_studies = []
        for request, result in zip(
            rounds, await _computed(_composed, rounds, self.payload, self._site, self.destination), strict=True
        ):
            if isinstance(result, ComposedStudy):
                composed_studies.append(_beside(result, study_issues.get(request.study_id, set())))
            else:
                await self._give_up(lease, request.study_id, request.rows, result)
        numbers = await self.engine.do(partial(store_composed, lease, composed_studies, micros(clock.now())))
        for known, stored in zip(composed_studies, numbers, strict=True):
            if stored is not None:  # None: the study changed meanwhile, and the next round composes it
                self._report(known, len(stored))
        return sum(stored is not None for stored in numbers)

    async def _due(self, study_ids: Sequence[str]) -> list[_Due]:
        """Read the studies that may be composed now, with their waiting rows."""
        name, ids = self.destination.name, json.dumps(study_ids)
        # Read before the rows, so that a change in between is noticed as a newer revision
        kept_rows = {str(row[0]): row for row in await self.engine.fetch(intake.KEPT, study_ids=ids)}
        waiting = await self._outbox.waiting(name, study_ids)
        sent = await read_sent(self.engine, name, study_ids)
        due = []
        for study_id in study_ids:
            rows = _ready(waiting[study_id], micros(clock.now()))
            if not rows or study_id not in kept_rows:
                continue
            if sent[study_id].is_in_hand:  # wait for the result: the next message depends on it
                get_logger().debug("making-waits", destination=name, study_id=study_id, code="in-hand")
                continue
            _, revision, packed = kept_rows[study_id]
            due.append(_Due(study_id, int(revision), packed, sent[study_id], rows))
        return due

    async def _asked(self, lease: Lease, due: _Due, known: Kept | Exception, span: Span) -> _Asked | None:
        """Read what else composing a study needs; None if there is nothing to compose.

        `span` is the time in which messages may have been sent that a database restore lost.
        """
        if isinstance(known, Exception):
            await self._give_up(lease, due.study_id, due.rows, known)
            return None
        try:
            known = await self._with_pdfs(known)
            rows = await self._without_doubtful(lease, due.rows, known, span)
            is_released = any(row.is_move in {RELEASED, MERGED, REFILE_RELEASED} for row in rows)
            before = await formers(self.engine, due.study_id) if is_released else ()
        except (LeaseLost, StoreError):
            raise
        except Exception as error:  # a bug that one study triggers must not hold up the others
            await self._give_up(lease, due.study_id, due.rows, error)
            return None
        return (
            _Asked(due.study_id, StudyRound(known, due.revision, due.sent, clock.now(), before), rows) if rows else None
        )

    def _report(self, made: ComposedStudy, messages_made: int) -> None:
        """Log and count the composed messages."""
        name, study_id = self.destination.name, made.study_id
        get_logger().info("messages-made", destination=name, study_id=study_id, count=messages_made)
        for message in made.messages if is_debugging() else ():
            ids = {"study_id": study_id, "report_id": message.report_id, "control_id": message.control_id}
            result = {"operation": message.kind, "state": message.state, "code": message.reason or None}
            get_logger().debug("message-made", destination=name, **ids, **result)
        for row in made.settled if is_debugging() else ():
            outcome = {"state": row.state, "code": row.reason or None}
            get_logger().debug("cause-settled", destination=name, study_id=study_id, **outcome)
        for code, count in Counter(code for message in made.messages for code in message.remarks).items():
            get_logger().warning("message-remarked", destination=name, study_id=study_id, code=code, count=count)
            self._metrics.remarked(name, code, count)

    async def _without_doubtful(
        self, lease: Lease, rows: Sequence[WaitingRow], known: Kept, span: Span
    ) -> list[WaitingRow]:
        """Return the rows except those whose message may have been sent before a restore; hold those (D38)."""
        held = [row for row in rows if span and is_doubtful(row, known.study, *span)]
        if held:
            settled = [SettledRow(row.number, "held", MAY_HAVE_BEEN_SENT) for row in held]
            await self.engine.do(partial(settle_failed, lease, settled, micros(clock.now())))
        return [row for row in rows if row not in held]

    async def _give_up(self, lease: Lease, study_id: str, rows: Sequence[WaitingRow], error: Exception) -> None:
        """Hold rows whose message could not be composed; the next change of the study tries again."""
        name, now = self.destination.name, micros(clock.now())
        get_logger().error("message-not-made", destination=name, study_id=study_id, code=code_of(error), exc_info=error)
        held = [SettledRow(row.number, "held", NOT_MADE) for row in rows]
        await self.engine.do(partial(settle_failed, lease, held, now))

    async def _with_pdfs(self, known: Kept) -> Kept:
        """Add the PDF bytes to the study's facts, if the receiver takes PDFs and they are not too large."""
        receiver = self.destination.receiver
        if not receiver.takes_pdf:
            return known
        pdf = await Pdfs(self.engine).with_data(known.facts.pdf, receiver.pdf_max)
        return replace(known, facts=replace(known.facts, pdf=pdf))


def _known(due: Sequence[_Due]) -> list[Kept | Exception]:
    """Unpack each study; return an exception in place of one on which our own code fails."""
    return _each(lambda one: kept(one.packed), due)


def _composed(
    asked: Sequence[_Asked], payload: PayloadKind, site: Site, destination: Destination
) -> list[ComposedStudy | Exception]:
    """Compose the messages of each study; return an exception in place of one on which our own code fails."""
    return _each(lambda one: payload.composed(one.of, one.rows, site, destination), asked)


async def _computed(
    function: Callable[[Sequence[Given], *More], list[Result | Exception]], given: Sequence[Given], *more: *More
) -> list[Result | Exception]:
    """Compute in a worker for several studies; if one kills the worker, compute each on its own."""
    try:
        return await computed(function, given, *more)
    except WorkerLost as error:
        if len(given) == 1:
            return [error]
    return [result for item in given for result in await _computed(function, [item], *more)]


def _each(function: Callable[[Given], Result], given: Sequence[Given]) -> list[Result | Exception]:
    """Apply a function to each item; return results, or an exception in the place of a result."""
    results: list[Result | Exception] = []
    for item in given:
        try:
            results.append(function(item))
        except Exception as error:
            results.append(error)
    return results


def _by_study(found: Sequence[tuple[str, MappingIssue]]) -> dict[str, set[str]]:
    """Return the issue codes of each study."""
    codes: dict[str, set[str]] = {}
    for study_id, issue in found:
        codes.setdefault(study_id, set()).add(issue.code)
    return codes


def _by_settings(site: Site, destination: Destination) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """Yield groups of settings that a hold reason depends on: the group's name, its values, and the reasons."""
    rows = sorted(f"{name}\x1f{facility.mrn}" for name, facility in site.facilities.items())
    default = site.default_facility.mrn if site.default_facility else None
    authorities = (site.mrn_authority, str(site.bare_namespace), str(default), *rows)
    customers = sorted(f"{name}\x1f{authority}" for name, authority in site.express_customers.items())
    switches = (destination.receiver.vista_patient, destination.receiver.vista_exam)
    yield "authorities", authorities, (AUTHORITY_UNKNOWN, MRN_UNREADABLE)
    yield "on-conflict", (site.on_conflict,), (CONFLICT_HELD,)
    yield "vista", (str(site.vista), *switches, *customers, *authorities), VISTA_UNKNOWN
    yield "order-wait", (str(destination.hold_until_matched),), (ORDER_AWAITED,)


def _ready(rows: list[WaitingRow], now: int) -> list[WaitingRow]:
    """Return the rows to compose now; a draft that may still change waits, unless its report has another row."""
    news = {row.report_id for row in rows if row.kind != "draft"}
    return [row for row in rows if row.kind != "draft" or row.due <= now or row.report_id in news]


def _beside(made: ComposedStudy, said: Set[str]) -> ComposedStudy:
    """Remove remarks from messages that are already stored as issues of the study."""
    messages = [replace(one, remarks=tuple(code for code in one.remarks if code not in said)) for one in made.messages]
    return replace(made, messages=messages)
