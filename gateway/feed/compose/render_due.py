"""Makes messages of what is to be told: of all that waits of a study at once, rendered once, with bytes that stay.

HL7 v2.5.1 §7.3.1 (ORU^R01), §2.15.9.10 (MSH-10); decisions D7, D13, D18, D28, D31, D34. What is read and written; what
a message says is for gateway/feed/compose/compose.py.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias, TypeVar

from gateway.feed.compose.compose import StudyRound, composed
from gateway.feed.compose.doubtful import is_doubtful
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.runtime.errors import StoreError
from gateway.runtime.log import get_logger, is_debugging
from gateway.runtime.metrics import Metrics
from gateway.store.database import facts
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.feed.leases import PAUSED, Lease, LeaseLost
from gateway.store.feed.moves import RELEASED, formers
from gateway.store.feed.new_messages import ComposedStudy, all_made, given_up
from gateway.store.feed.outbox import Outbox, Settled, Waiting, look_again
from gateway.store.feed.renaming import origin
from gateway.store.feed.restoring import doubtful_span
from gateway.store.feed.sent import Sent, read_sent
from gateway.store.feed.states import AUTHORITY_UNKNOWN, CONFLICT_HELD, MAY_HAVE_BEEN_SENT, RESTORED, VISTA_UNKNOWN
from gateway.store.studies import intake
from gateway.store.studies.kept import Kept, kept
from gateway.store.studies.pdfs import Pdfs
from gateway.store.studies.search import issues
from mappings.issues import MappingIssue
from mappings.profile import Receiver, Site

AT_ONCE: Final = 48
TOGETHER: Final = 8  # studies whose messages one commit stores
NOT_MADE: Final = "not-made"
_MOST_ISSUES: Final = 1_000
Given = TypeVar("Given")
Result = TypeVar("Result")
Span: TypeAlias = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Due:
    """A study of which messages can be made, packed as it is stored, what was sent of it, and the rows that wait."""

    study_id: str
    revision: int
    packed: bytes
    sent: Sent
    rows: Sequence[Waiting]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A study of which messages are to be made, and the rows that ask for them."""

    study_id: str
    of: StudyRound
    rows: Sequence[Waiting]


class Making:
    """Makes the messages to one destination."""

    def __init__(self, engine: Engine, site: Site, destination: Destination, metrics: Metrics) -> None:
        self.engine, self.destination, self._metrics = engine, destination, metrics
        self._site = destination.site(site)
        self._outbox = Outbox(engine)

    async def see_settings(self, lease: Lease) -> None:
        """See of which name MSH-10 is made, and look again at what is held for what the settings say otherwise by now.

        Raises:
            LeaseLost: somebody else sends there by now.
            StoreUnavailable: the store cannot be reached.
        """
        self.destination = replace(self.destination, first_name=await origin(self.engine, self.destination.name))
        for kind, said, reasons in _by_settings(self._site, self.destination.receiver):
            fact = f"{kind}:{self.destination.name}"
            digest = hashlib.sha256("\x1e".join(said).encode()).hexdigest()
            if await facts.claimed(self.engine, fact, digest) != digest:
                for reason in reasons:
                    await self.engine.do(partial(look_again, lease, reason, micros(clock.now())))
                await facts.put(self.engine, fact, digest)

    async def once(self, lease: Lease) -> int:
        """Make messages of the studies that are due; of how many studies it did.

        Raises:
            LeaseLost: somebody else sends there by now.
            StoreUnavailable: the store cannot be reached.
        """
        name = self.destination.name
        paused = await self.engine.fetch(PAUSED, name=name)
        if paused and paused[0][0] == RESTORED:
            return 0  # what was sent is not known before the journal is replayed
        due = await self._outbox.due(name, clock.now(), AT_ONCE)
        return sum([await self._of(lease, due[at : at + TOGETHER]) for at in range(0, len(due), TOGETHER)])

    async def _of(self, lease: Lease, study_ids: Sequence[str]) -> int:
        """Make the messages of several studies, and store them in one commit; of how many it did."""
        due, span = await self._due(study_ids), await doubtful_span(self.engine, self.destination.name)
        asked = [await self._asked(lease, *one, span) for one in zip(due, await computed(_known, due), strict=True)]
        rounds = [one for one in asked if one is not None]
        if not rounds:
            return 0
        said = _by_study(await issues(self.engine, [one.study_id for one in rounds], _MOST_ISSUES * len(rounds)))
        made = []
        for of, found in zip(rounds, await computed(_composed, rounds, self._site, self.destination), strict=True):
            if isinstance(found, ComposedStudy):
                made.append(_beside(found, said.get(of.study_id, set())))
            else:
                await self._give_up(lease, of.study_id, of.rows, found)
        numbers = await self.engine.do(partial(all_made, lease, made, micros(clock.now())))
        for known, stored in zip(made, numbers, strict=True):
            if stored is not None:  # else there is news of the study: the next round sees it
                self._say(known, len(stored))
        return sum(stored is not None for stored in numbers)

    async def _due(self, study_ids: Sequence[str]) -> list[_Due]:
        """Read the studies of which messages can be made now, with the rows that ask for them."""
        name, ids = self.destination.name, json.dumps(study_ids)
        # Before the rows: what comes later is news
        kept_rows = {str(row[0]): row for row in await self.engine.fetch(intake.KEPT, study_ids=ids)}
        waiting = await self._outbox.waiting(name, study_ids)
        sent = await read_sent(self.engine, name, study_ids)
        due = []
        for study_id in study_ids:
            rows = _ready(waiting[study_id], micros(clock.now()))
            if not rows or study_id not in kept_rows:
                continue
            if sent[study_id].is_in_hand:  # whether something was sent decides what this one is: a moment
                get_logger().debug("making-waits", destination=name, study_id=study_id, code="in-hand")
                continue
            _, revision, packed = kept_rows[study_id]
            due.append(_Due(study_id, int(revision), packed, sent[study_id], rows))
        return due

    async def _asked(self, lease: Lease, due: _Due, known: Kept | Exception, span: Span) -> _Asked | None:
        """Read the rest of what the messages of a study are made of; None where there is nothing to be made.

        `span` is of what may have been sent before the database was restored.
        """
        if isinstance(known, Exception):
            await self._give_up(lease, due.study_id, due.rows, known)
            return None
        try:
            known = await self._with_pdfs(known)
            rows = await self._without_doubtful(lease, due.rows, known, span)
            is_released = any(row.is_move == RELEASED for row in rows)
            before = await formers(self.engine, due.study_id) if is_released else ()
        except (LeaseLost, StoreError):
            raise
        except Exception as error:  # a fault of ours in one study holds up no other
            await self._give_up(lease, due.study_id, due.rows, error)
            return None
        return (
            _Asked(due.study_id, StudyRound(known, due.revision, due.sent, clock.now(), before), rows) if rows else None
        )

    def _say(self, made: ComposedStudy, messages_made: int) -> None:
        """Tell the log and the metrics of what was made."""
        name, study_id = self.destination.name, made.study_id
        get_logger().info("messages-made", destination=name, study_id=study_id, count=messages_made)
        for one in made.messages if is_debugging() else ():
            ids = {"study_id": study_id, "report_id": one.report_id, "control_id": one.control_id}
            stands = {"operation": one.kind, "state": one.state, "code": one.reason or None}
            get_logger().debug("message-made", destination=name, **ids, **stands)
        for row in made.settled if is_debugging() else ():
            said = {"state": row.state, "code": row.reason or None}
            get_logger().debug("cause-settled", destination=name, study_id=study_id, **said)
        for code, count in Counter(code for one in made.messages for code in one.remarks).items():
            get_logger().warning("message-remarked", destination=name, study_id=study_id, code=code, count=count)
            self._metrics.remarked(name, code, count)

    async def _without_doubtful(self, lease: Lease, rows: Sequence[Waiting], known: Kept, span: Span) -> list[Waiting]:
        """The rows without what may have been sent before the database was restored, which is held (D38)."""
        held = [row for row in rows if span and is_doubtful(row, known.study, *span)]
        if held:
            settled = [Settled(row.number, "held", MAY_HAVE_BEEN_SENT) for row in held]
            await self.engine.do(partial(given_up, lease, settled, micros(clock.now())))
        return [row for row in rows if row not in held]

    async def _give_up(self, lease: Lease, study_id: str, rows: Sequence[Waiting], error: Exception) -> None:
        """Hold what no message can be made of; when there is news of the study it is tried again."""
        name, now = self.destination.name, micros(clock.now())
        get_logger().error("message-not-made", destination=name, study_id=study_id, code="internal", exc_info=error)
        held = [Settled(row.number, "held", NOT_MADE) for row in rows]
        await self.engine.do(partial(given_up, lease, held, now))

    async def _with_pdfs(self, known: Kept) -> Kept:
        """With the bytes of the PDFs, where the receiver takes them and they are not too large."""
        receiver = self.destination.receiver
        if not receiver.takes_pdf:
            return known
        pdf = await Pdfs(self.engine).with_data(known.facts.pdf, receiver.pdf_max)
        return replace(known, facts=replace(known.facts, pdf=pdf))


def _known(due: Sequence[_Due]) -> list[Kept | Exception]:
    """Unpack each study, or return the exception where our own code fails."""
    return _each(lambda one: kept(one.packed), due)


def _composed(asked: Sequence[_Asked], site: Site, destination: Destination) -> list[ComposedStudy | Exception]:
    """Compose the messages of each study, or return the exception where our own code fails."""
    return _each(lambda one: composed(one.of, one.rows, site, destination), asked)


def _each(function: Callable[[Given], Result], given: Sequence[Given]) -> list[Result | Exception]:
    """The result of a function for each, or the exception that it raised."""
    results: list[Result | Exception] = []
    for one in given:
        try:
            results.append(function(one))
        except Exception as error:
            results.append(error)
    return results


def _by_study(found: Sequence[tuple[str, MappingIssue]]) -> dict[str, set[str]]:
    """The codes of the issues of each study."""
    codes: dict[str, set[str]] = {}
    for study_id, issue in found:
        codes.setdefault(study_id, set()).add(issue.code)
    return codes


def _by_settings(site: Site, receiver: Receiver) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """A name of settings, what they say, and why a row is held for as long as they say so."""
    rows = sorted(f"{name}\x1f{facility.mrn}" for name, facility in site.facilities.items())
    default = site.default_facility.mrn if site.default_facility else None
    authorities = (site.mrn_authority, str(site.bare_namespace), str(default), *rows)
    customers = sorted(f"{name}\x1f{authority}" for name, authority in site.express_customers.items())
    switches = (receiver.vista_patient, receiver.vista_exam)
    yield "authorities", authorities, (AUTHORITY_UNKNOWN,)
    yield "on-conflict", (site.on_conflict,), (CONFLICT_HELD,)
    yield "vista", (str(site.vista), *switches, *customers, *authorities), VISTA_UNKNOWN


def _ready(rows: list[Waiting], now: int) -> list[Waiting]:
    """The rows of which messages are made now: all, but a draft that may change yet, and of which there is no news."""
    news = {row.report_id for row in rows if row.kind != "draft"}
    return [row for row in rows if row.kind != "draft" or row.due <= now or row.report_id in news]


def _beside(made: ComposedStudy, said: Set[str]) -> ComposedStudy:
    """Without the remarks that are issues of the study itself: they are known, and are not the receiver's alone."""
    messages = [replace(one, remarks=tuple(code for code in one.remarks if code not in said)) for one in made.messages]
    return replace(made, messages=messages)
