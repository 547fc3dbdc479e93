"""Look reports up in the EHR after AA: choose them, ask in rounds, and store the fate of each.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html; HL7 v2.5.1 §2.9.2 (AA says that a message was
processed, not that a chart shows it); decision D49. Every critical result, correction, addendum to a critical one, move
and withdrawal is looked up, and what replaces a message that is; of the rest a share. A report that is not there, or
not as sent, is asked for once more before its fate says so; then again and again, until it is found or the bytes of
its message are deleted. A lease gives the work to one process, and no delivery waits for it.
Proved by tests/contract/test_read_back.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.compose.sent_report import WITHDRAWN, SentReport, sent_reports
from gateway.feed.read_back.compare import (
    Finding,
    ShownPatient,
    is_someone_else,
    is_under,
    judged,
)
from gateway.feed.read_back.ehr import EhrClient, SearchRefused
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.runtime.errors import EhrUnavailable
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.store.database.engine import Engine, micros
from gateway.store.feed.leases import Lease, LeaseLost, Leases
from gateway.store.feed.messages import (
    FOUND,
    MOST_READABLE,
    NOT_CHECKABLE,
    NOT_FILED,
    DueReadBack,
    ReadableMessage,
    ReadBackResult,
    add_read_backs,
    due_read_backs,
    earlier_bodies,
    readable_messages,
    set_read_back,
)
from gateway.store.studies.crawling import StoredCursors
from mappings.profile import Site

LEASE: Final = "*ehr:"  # before the name; no destination can have such a name
ROUNDS: Final = 2  # times that the EHR is asked before a fate other than found is said
_MOST_PATIENTS: Final = 4
_WORST: Final = (*NOT_FILED, NOT_CHECKABLE, FOUND)


async def read_back(
    ehr: EhrClient, sent: SentReport, earlier: Sequence[str] = (), *, looks_elsewhere: bool = True
) -> Finding:
    """Look one report up in the EHR, and say its fate there; two requests if it stands where it should.

    `earlier` are the texts sent before under its number, which must not stand instead. With `looks_elsewhere`, a report
    that is not in the chart is looked for in the charts of patients of the same name and birth date.

    Raises:
        EhrUnavailable: the EHR gives no usable answer, so nothing is known.
    """
    try:
        return await _looked_up(ehr, sent, earlier, looks_elsewhere=looks_elsewhere)
    except SearchRefused as refused:
        return Finding(NOT_CHECKABLE, refused.reason)


async def _looked_up(ehr: EhrClient, sent: SentReport, earlier: Sequence[str], *, looks_elsewhere: bool) -> Finding:
    named = sent.person.family, next(iter(sent.person.given), ""), sent.person.birth_date
    has_name = bool(named[0] and named[2])
    if not sent.numbers and not has_name:
        return Finding(NOT_CHECKABLE, "patient-unnamed")
    patients = await ehr.patients_numbered(*sent.numbers[0]) if sent.numbers else await ehr.patients_named(*named)
    if len(patients) > _MOST_PATIENTS:
        return Finding(NOT_CHECKABLE, "patients-many")
    finding = await _in_charts(ehr, sent, earlier, patients)
    if finding is None and looks_elsewhere and has_name and sent.numbers:
        known, named_so = {one.id for one in patients}, await ehr.patients_named(*named)
        finding = await _elsewhere(ehr, sent, earlier, [one for one in named_so if one.id not in known])
    return finding or Finding("absent", "" if patients else "patient-unknown")


async def _in_charts(
    ehr: EhrClient, sent: SentReport, earlier: Sequence[str], patients: Sequence[ShownPatient]
) -> Finding | None:
    """Return the worst fate in the charts that a number leads to; None if no chart has the report."""
    findings = [Finding(FOUND)] if sent.status == WITHDRAWN else []
    for patient in patients:
        found = judged(sent, await ehr.reports(patient.id, sent.since), earlier)
        is_other = found is not None and sent.status != WITHDRAWN and is_someone_else(sent, patient)
        findings += [Finding("other patient", "person")] if is_other else [found] if found else []
    return min(findings, key=_badness) if findings else None


def _badness(finding: Finding) -> int:
    return _WORST.index(finding.fate)


async def _elsewhere(
    ehr: EhrClient, sent: SentReport, earlier: Sequence[str], others: Sequence[ShownPatient]
) -> Finding | None:
    """Return `other patient` if a chart of somebody of the same name and birth date has the report.

    Somebody who has the number itself under another system is who is meant: the EHR names the authority otherwise.
    """
    for patient in others[:_MOST_PATIENTS]:
        shown = await ehr.reports(patient.id, sent.since)
        if is_under(sent, shown):
            is_meant = any(value == number for _, value in patient.numbers for _, number in sent.numbers)
            return judged(sent, shown, earlier) if is_meant else Finding("other patient", "number")
    return None


def systems_of(site: Site) -> dict[str, str]:
    """Return the FHIR system of each namespace (PID-3.4) by which the site's facilities give patient numbers."""
    given = [one for facility in site.facilities.values() for one in (facility.mrn, facility.external_patient_id)]
    return {one.namespace: one.system for one in given if one}


EVERY: Final = 5.0  # seconds between two looks at what is due
LEASE_SECONDS: Final = 60.0
_MINUTE: Final = 60_000_000
# Minutes after the delivery at which a report is looked up first, and then after each look; of a critical result first
_WAITS: Final[Mapping[bool, tuple[int, ...]]] = {True: (2, 10, 60, 360, 1_440), False: (5, 60, 360, 1_440)}
_SETTLED: Final = _MINUTE  # a delivery is committed within that time of the instant that is noted of it
_BACK: Final = 120 * _MINUTE  # once an hour what was delivered in that time is looked through again
_HOUR: Final = 3_600.0
_AT_ONCE, _EARLIER = 5, 5
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 900.0


class FiledReports:
    """Loop that reads back what one destination acknowledged; `leases` give it to one process."""

    def __init__(self, engine: Engine, site: Site, destination: Destination, leases: Leases, metrics: Metrics) -> None:
        if destination.ehr is None:
            raise ValueError("no EHR")
        self._engine, self._destination, self._share = engine, destination, destination.ehr.sampling
        self._systems, self._leases, self._metrics = systems_of(site), leases, metrics
        self._cursors, self._cursor = StoredCursors(engine), f"read-back:{destination.control_name}"
        self._client = EhrClient(destination.ehr)
        self._failures, self._closed_until, self._looked_back = 0, 0.0, float("-inf")

    async def run(self) -> None:
        """Note, look up and wait, until cancelled."""
        try:
            await forever(self.turn, EVERY, not_done="not-read-back")
        finally:
            await self._client.close()

    async def turn(self) -> None:
        """Note what was delivered, and look up what is due, unless another process does.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        lease = await self._leases.take(f"{LEASE}{self._destination.name}")
        if lease is None:
            return
        with suppress(LeaseLost):
            await self._note(lease)
            if clock.monotonic() < self._closed_until:
                return
            now = micros(clock.now())
            for due in await due_read_backs(self._engine, self._destination.name, now, _AT_ONCE):
                lease = await self._leases.renew(lease)
                if not await self._look_up(lease, due):
                    return

    async def _note(self, lease: Lease) -> None:
        """Have the messages read back that were delivered since the last time; the first time, from now on."""
        stored: Any = await self._cursors.get(self._cursor)
        until = micros(clock.now()) - _SETTLED
        at, is_hourly = int(stored["at"]) if stored else until, clock.monotonic() - self._looked_back >= _HOUR
        span = (at - _BACK if stored and is_hourly else at), until
        found = await readable_messages(self._engine, self._destination.name, *span, self._share)
        dues = {one.number: self._first_look(one) for one in found}
        if dues:
            await self._engine.do(partial(add_read_backs, lease, dues, micros(clock.now())))
        if len(found) < MOST_READABLE:  # else what is left is read by the next turn
            self._looked_back = clock.monotonic() if is_hourly else self._looked_back
            if found or not stored or until - at >= _MINUTE:
                await self._cursors.put(self._cursor, {"at": max(at, until)})

    def _first_look(self, one: ReadableMessage) -> int | None:
        """Return when a message is looked up first; None if it has only the PDF, in which nothing can be compared."""
        is_document = one.filler_order_numbers[:1] == (HL7V2.document_number(one.report_id),)
        return None if is_document else one.closed + _WAITS[one.is_critical][0] * _MINUTE

    async def _look_up(self, lease: Lease, due: DueReadBack) -> bool:
        """Look one message up, and store what was found; False if the EHR gives no answer: then it stays due.

        Raises:
            LeaseLost: another process holds the lease.
        """
        waits, at = _WAITS[due.is_critical], clock.now()
        again = micros(at + timedelta(minutes=waits[min(due.attempts + 1, len(waits) - 1)]))
        try:
            found, is_answered = await self._found(due), True
        except EhrUnavailable as error:
            found, is_answered, again = Finding(due.fate, due.detail), False, micros(at) + 15 * _MINUTE
            self._pause(error)
        is_last = is_answered and (due.attempts + 1 >= ROUNDS or found.fate == FOUND or due.body is None)
        said = found if is_last or not is_answered else Finding("")
        is_over = is_last and (found.fate in {FOUND, NOT_CHECKABLE} or due.body is None)
        result = ReadBackResult(due.number, said.fate, said.detail, None if is_over else again, int(is_answered))
        await self._engine.do(partial(set_read_back, lease, result, again, micros(clock.now())))
        if is_answered:
            self._failures = 0
            self._metrics.read_back(self._destination.name, found.fate)
        return is_answered

    def _pause(self, error: EhrUnavailable) -> None:
        """Ask nothing for a growing time, or for as long as the EHR says."""
        self._failures += 1
        pause = min(_FIRST_PAUSE * 2 ** min(self._failures - 1, 10), _LONGEST_PAUSE)
        self._closed_until = clock.monotonic() + max(pause, error.wait)
        self._metrics.read_back(self._destination.name, error.code)
        named = {"destination": self._destination.name, "code": error.reason, "attempt": self._failures}
        get_logger().warning(error.code, **named)

    async def _found(self, due: DueReadBack) -> Finding:
        """Return the worst fate of the reports in a message; once its bytes are deleted, what was found before.

        Raises:
            EhrUnavailable: the EHR gives no usable answer.
        """
        if due.body is None:
            return Finding(due.fate, due.detail) if due.fate else Finding(NOT_CHECKABLE, "message-deleted")
        reports = await computed(sent_reports, due.body, self._systems, due.is_whole)
        bodies = await earlier_bodies(self._engine, due.number, _EARLIER)
        before = [one for body in bodies for one in await computed(sent_reports, body, self._systems, True)]
        findings = []
        for sent in reports:
            earlier = [one.text for one in before if one.filler == sent.filler and one.status != WITHDRAWN]
            looks_elsewhere = due.attempts + 1 >= ROUNDS
            findings.append(await read_back(self._client, sent, earlier, looks_elsewhere=looks_elsewhere))
        worst = min(findings, key=_badness) if findings else Finding(NOT_CHECKABLE, "message-unreadable")
        return Finding("other patient", "former") if due.is_move and worst.fate == "differs" else worst
