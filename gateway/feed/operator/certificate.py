"""`feed certificate`: for every report signed in AutoScribe, state if each destination received the report, or why not.

AutoScribe REST API: `GET /v1/autoScribe/studies`, `/studies/{studyId}`, `/reports`; decisions D26 (at the pace of a
sweep, and of its refetches), D31. It holds for the instant that it names. It is `incomplete` if the listing is, `open`
if any report is still to be delivered, and `certified` otherwise. It vouches for the texts as they were last read from
AutoScribe, and says when that was.
Proved by tests/gateway/cli/test_feed.py and tests/gateway/console/test_certificates.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from gateway.feed.fate import KINDS, UNREMARKABLE, Fate, FatePlace, fate_of, is_unread, places
from gateway.feed.operator.arguments import (
    LEFT_OUT,
    CommandAnswer,
    TimeSpan,
    at,
    counted,
    destinations_named,
    json_of,
    wrong,
)
from gateway.feed.operator.show import OrderMatch, order_matches
from gateway.ingest.assembly import pipeline_of
from gateway.ingest.read_through import ReadThrough
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError, UpstreamError, UpstreamNotFound
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.loops import alongside
from gateway.runtime.metrics import Metrics
from gateway.runtime.progress import Progress, through
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant_text, micros, moment
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed.destinations import (
    CertificateRun,
    CertificateRuns,
    OpenWork,
    StoredCertificate,
    open_work_of_each,
)
from gateway.store.feed.ledger import LedgerRecords, ReportRecord, critical_results, report_records
from gateway.store.feed.outbox import signed_within
from gateway.store.studies.crawling import erased_among
from gateway.upstream.metronome import Metronome
from gateway.upstream.pace import Pace
from gateway.upstream.paced_client import PacedClient

# Issues that make a listing incomplete: a study missing from a page, or no cursor although there is more
_DOUBTS = frozenset({"element-not-understood", "cursor-absent"})


@dataclass(slots=True)
class Listing:
    """Ids of signed reports by study, from a listing of AutoScribe; `fault` is a code if the listing is incomplete."""

    started: datetime
    ended: datetime
    studies: int = 0
    signed: dict[str, set[str]] = field(default_factory=dict)
    fault: str = ""

    @property
    def reports(self) -> int:
        """Number of signed reports listed."""
        return sum(map(len, self.signed.values()))


CountReports: TypeAlias = Callable[[int, int | None], None]
"""Gets the number of reports that are listed, and then how many of all are compared."""


async def list_studies(configuration: Configuration, count: CountReports) -> Listing:
    """List all studies of AutoScribe; a faulty answer ends the listing and becomes its `fault`.

    Raises:
        ConfigError: there is no API key.
    """
    settings = configuration.settings
    listing = Listing(clock.now(), clock.now())
    beat = Metronome(settings.sync.pages_per_second)
    client = PacedClient(settings.upstream, settings.pdf, Pace(settings.sync.concurrency))
    reports = 0
    async with client:
        try:
            await beat.next()
            async with aclosing(client.studies()) as pages:
                async for page in pages:
                    reports += sum(_add(listing, study) for study in page.value["studies"])
                    count(reports, None)
                    doubts = [issue.code for issue in page.issues if issue.code in _DOUBTS]
                    listing.fault = listing.fault or next(iter(doubts), "")
                    await beat.next()
        except UpstreamError as error:
            listing.fault = error.code
    listing.ended = clock.now()
    return listing


async def read_anew(configuration: Configuration, engine: Sqlite | Postgres, study_ids: Sequence[str]) -> str:
    """Read these studies from AutoScribe and ingest them; return the code of the first fault, empty if all were read.

    A study that AutoScribe does not have any more stays as it is (D21).

    Raises:
        ConfigError: there is no API key.
        StoreUnavailable: the store cannot be reached.
    """
    settings, fault = configuration.settings, ""
    beat = Metronome(settings.sync.refetches_per_second)
    client = PacedClient(settings.upstream, settings.pdf, Pace(settings.sync.concurrency))
    reads = ReadThrough(client, engine, pipeline_of(configuration, engine), Metrics())
    async with client, aclosing(reads):
        for study_id in through("read anew", study_ids):
            await beat.next()
            try:
                await reads.study(study_id, fresh=True)
            except UpstreamNotFound:
                continue
            except UpstreamError as error:
                fault = fault or error.code
    return fault


def _add(listing: Listing, study: dict[str, object]) -> int:
    """Add the signed reports of a study, unless it is an external one (D25); return how many these are."""
    listing.studies += 1
    reports = study.get("reportIds")
    if study.get("studyType") == "external" or not isinstance(reports, list):
        return 0
    signed = {str(one["reportId"]) for one in reports if one["status"] == "completed"}
    if signed:
        listing.signed[str(study["studyId"])] = signed
    return len(signed)


_BATCH: Final = 500
_PRIVATE: Final = 0o600
_MOST_LINES: Final = 100


@dataclass(slots=True)
class RemarkableReport:
    """Report to list in the certificate: open at a destination, or with remarks; `order` says why it has no order."""

    report_id: str
    study_id: str
    fate: str
    detail: str
    since: datetime | None
    is_open: bool
    is_critical: bool
    remarks: tuple[str, ...]
    order: OrderMatch | None = field(default=None, metadata=LEFT_OUT)

    @property
    def is_to_be_seen(self) -> bool:
        """True if it matters whether the report is a critical result."""
        return self.is_open or self.fate == "left"

    def __str__(self) -> str:
        text = f"{self.fate}  {self.report_id}  {self.study_id}  {self.detail}".rstrip()
        text = f"{text}  CRITICAL" if self.is_critical else text
        return f"{text}  order: {self.order.verdict} ({self.order.reason})" if self.order else text


@dataclass(slots=True)
class ReportAccount:
    """Account of all reports at one destination: counts, and each report that is open or has remarks."""

    place: FatePlace
    counts: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    reports: list[RemarkableReport] = field(default_factory=list)
    open: int = 0
    open_critical: int = 0

    def mark_critical(self, critical: set[str]) -> None:
        """Mark the critical results among open and left reports, and sort them first."""
        for one in self.reports:
            one.is_critical = one.report_id in critical and one.is_to_be_seen
            self.open_critical += one.is_critical and one.is_open
        self.reports.sort(key=lambda one: not one.is_critical)

    def add(self, study_id: str, report_id: str, state: Fate) -> None:
        """Count one report by its fate, and list it if it is open or has remarks."""
        self.counts[state.kind] += 1
        self.open += state.is_open
        self.remarks.update(state.remarks)
        if state.remarks or state.is_open or state.kind not in UNREMARKABLE:
            since, remarks = moment(state.since), state.remarks
            told = state.kind, state.detail, since, state.is_open
            self.reports.append(RemarkableReport(report_id, study_id, *told, is_critical=False, remarks=remarks))

    @property
    def said(self) -> dict[str, Any]:
        """The account as JSON."""
        return {
            "name": self.place.label,
            "counts": {kind: self.counts[kind] for kind in KINDS},
            "open": self.open,
            "openCritical": self.open_critical,
            "remarks": dict(self.remarks),
            "reports": json_of(self.reports),
        }


@dataclass(slots=True)
class Certificate(CommandAnswer):
    """Certificate for the reports signed in a span, at each destination.

    `read` are the earliest and the latest time at which a report's study was read from AutoScribe, in microseconds;
    `is_deep`: each was read for this certificate, or `unread` is the fault that prevented it. `unlisted` counts
    reports that are stored as signed but not listed by AutoScribe. `left` is what is open for destinations that are
    no longer in the settings, whenever signed. With `is_filed`, a report counts as open, too, while it is to be looked
    up in the EHR, or cannot be.
    """

    listing: Listing
    span: TimeSpan
    accounts: list[ReportAccount]
    reports: int = 0
    unlisted: int = 0
    left: list[OpenWork] = field(default_factory=list)
    read: tuple[int, int] | None = None
    is_deep: bool = False
    unread: str = ""
    is_filed: bool = False

    @property
    def fault(self) -> str:
        """Code of the reason why the listing is incomplete; too many unlisted reports are one, too (D21)."""
        is_too_little = self.unlisted > self.listing.reports
        return self.listing.fault or self.unread or ("lists-too-little" if is_too_little else "")

    @property
    def verdict(self) -> str:
        """Verdict of the certificate: `incomplete`, `open` or `certified`."""
        if self.fault:
            return "incomplete"
        return "open" if self.left or any(one.open for one in self.accounts) else "certified"

    @property
    def exit_code(self) -> int:
        """0 if certified."""
        return 0 if self.verdict == "certified" else 1

    @property
    def document(self) -> Any:
        """The certificate as JSON."""
        listing, (first, last) = self.listing, self.read or (None, None)
        return json_of(
            {
                "verdict": self.verdict,
                "from": instant_text(self.span.since),
                "to": instant_text(self.span.until),
                "listing": {
                    "started": listing.started,
                    "ended": listing.ended,
                    "isComplete": not self.fault,
                    "fault": self.fault or None,
                    "studies": listing.studies,
                    "signedReports": listing.reports,
                },
                "reports": self.reports,
                "notListed": self.unlisted,
                "textsRead": {"from": moment(first), "to": moment(last), "isDeep": self.is_deep},
                "isFiled": self.is_filed,
                "destinations": self.accounts,
                "notInSettings": [
                    {"name": gone.name, "open": gone.open, "critical": gone.critical, "counts": gone.counts}
                    for gone in self.left
                ],
            }
        )

    def lines(self) -> Iterator[str]:
        """Yield the lines of the certificate for people."""
        listing = self.listing
        totals = f"{counted(listing.studies, 'study')}, {counted(listing.reports, 'signed report')}"
        incomplete = f"; INCOMPLETE: {self.fault}" if self.fault else ""
        yield f"AutoScribe as listed at {at(listing.started)}: {totals}{incomplete}"
        unlisted = f"{self.unlisted} of them not listed{_read(self)}"
        yield f"{counted(self.reports, 'report')} signed from {self.span}, {unlisted}"
        if not self.accounts:
            yield "no destination is enabled: there is none that reports are sent to"
        for account in self.accounts:
            yield from _account_lines(account)
        for gone in self.left:
            yield f"{gone.name}: {gone}"
        yield self.verdict


async def certificate(  # noqa: PLR0913 (the options of the command)
    engine: Sqlite | Postgres,
    configuration: Configuration,
    name: str | None,
    span: TimeSpan,
    *,
    is_deep: bool = False,
    is_filed: bool = False,
) -> Certificate:
    """Return the certificate of the reports signed in a span, at one destination or all.

    With `is_deep`, the studies of these reports are read from AutoScribe first. `is_filed` is as in `Certificate`.

    Raises:
        ConfigError: no such destination, or no API key.
        StoreUnavailable: the store cannot be reached.
    """
    read = partial(read_anew, configuration, engine) if is_deep else None
    with Progress("certify", "reports") as count:
        asked = destinations_named(configuration, name)
        made = await make_certificate(configuration, engine, asked, span, read, count=count, is_filed=is_filed)
    if name is None:
        known = {each for one in made.accounts for each in (one.place.label, one.place.name)}
        made.left += await open_work_of_each(engine, known)
    return made


async def make_certificate(  # noqa: PLR0913 (what is asked, of whom, and how far it is)
    configuration: Configuration,
    engine: Engine,
    asked: Sequence[Destination],
    span: TimeSpan,
    read: Callable[[Sequence[str]], Awaitable[str]] | None = None,
    *,
    is_filed: bool = False,
    count: CountReports = lambda done, total: None,
) -> Certificate:
    """Make the certificate of the reports signed in a span at these destinations, from a fresh AutoScribe listing.

    `read` reads the studies of these reports from AutoScribe first, and returns the code of a fault. `count` is told
    how far it is.

    Raises:
        ConfigError: there is no API key.
        StoreUnavailable: the store cannot be reached.
    """
    listing = await list_studies(configuration, count)
    made = Certificate(listing, span, [], is_deep=read is not None, is_filed=is_filed)
    wanted = await _wanted(made, engine, configuration.site.site_key)
    if read is not None:
        made.unread = await read(await _within(engine, wanted, span))
        wanted = await _wanted(made, engine, configuration.site.site_key)
    made.accounts += map(ReportAccount, await places(engine, asked))
    await _fill(made, engine, wanted, count)
    return made


async def _wanted(made: Certificate, engine: Engine, site_key: bytes) -> dict[str, set[str]]:
    """Return, by study, the listed reports, and those stored as signed in the span but not listed.

    Studies that were erased on order are left out.
    """
    erased = await erased_among(engine, made.listing.signed, site_key)
    signed = made.listing.signed.items()
    wanted = {study_id: set(report_ids) for study_id, report_ids in signed if study_id not in erased}
    async for report_id, study_id in signed_within(engine, made.span.since, made.span.until):
        wanted.setdefault(study_id, set()).add(report_id)
    return wanted


async def _within(engine: Engine, wanted: Mapping[str, set[str]], span: TimeSpan) -> list[str]:
    """Return the studies with a report signed in the span, or at an unknown time."""
    found: list[str] = []
    ids = iter(sorted(wanted))
    while batch := list(islice(ids, _BATCH)):
        records = await report_records(engine, batch)
        for study_id in batch:
            reports = records[study_id].reports if study_id in records else {}
            if any(_is_within(reports.get(report_id), span) for report_id in wanted[study_id]):
                found.append(study_id)
    return found


async def _fill(made: Certificate, engine: Engine, wanted: Mapping[str, set[str]], count: CountReports) -> None:
    """Add these reports to the account of each destination."""
    ids, done, total = iter(sorted(wanted)), 0, sum(map(len, wanted.values()))
    while batch := list(islice(ids, _BATCH)):
        records = await report_records(engine, batch)
        for study_id in batch:
            _add_study(made, study_id, wanted[study_id], records.get(study_id))
            done += len(wanted[study_id])
        count(done, total)
    await _mark_critical(made, engine)
    await _say_orders(made, engine)


async def _say_orders(made: Certificate, engine: Engine) -> None:
    """Add to each listed report why its study has no order; nothing where no hospital sends orders."""
    reports = [one for account in made.accounts for one in account.reports]
    study_ids = iter(dict.fromkeys(one.study_id for one in reports))
    while batch := list(islice(study_ids, _BATCH)):
        matches = await order_matches(engine, batch)
        for one in reports:
            match = matches.get(one.study_id)
            if match is not None and match.reason:
                one.order = match


async def _mark_critical(made: Certificate, engine: Engine) -> None:
    seen = {one.study_id for account in made.accounts for one in account.reports if one.is_to_be_seen}
    critical: set[str] = set()
    for study_id in seen:
        critical |= await critical_results(engine, study_id)
    for account in made.accounts:
        account.mark_critical(critical)


def _add_study(made: Certificate, study_id: str, report_ids: set[str], known: LedgerRecords | None) -> None:
    if known is not None and known.is_external:
        return
    listed_ids = made.listing.signed.get(study_id, set())
    for report_id in sorted(report_ids):
        record = known.reports.get(report_id) if known is not None else None
        if not _is_within(record, made.span):
            continue
        made.reports += 1
        made.unlisted += report_id not in listed_ids
        if known is not None:
            first, last = made.read or (known.fetched, known.fetched)
            made.read = min(first, known.fetched), max(last, known.fetched)
        for account in made.accounts:
            fate = fate_of(report_id, record, account.place)
            is_open = fate.is_open or (made.is_filed and is_unread(fate))
            account.add(study_id, report_id, replace(fate, is_open=is_open))


def _is_within(record: ReportRecord | None, span: TimeSpan) -> bool:
    """True if a report was signed in the span, or at an unknown time."""
    return record is None or record.signed is None or span.since <= record.signed < span.until


def _account_lines(account: ReportAccount) -> Iterator[str]:
    counts = ", ".join(f"{account.counts[kind]} {kind}" for kind in reversed(KINDS) if account.counts[kind])
    critical = f", {account.open_critical} of them critical" if account.open_critical else ""
    yield f"{account.place.label}: {counts or 'no reports'}; {account.open} open{critical}"
    if account.remarks:
        yield f"  remarks: {', '.join(f'{count} {code}' for code, count in sorted(account.remarks.items()))}"
    shown = [one for one in account.reports if one.is_open or one.fate not in UNREMARKABLE]
    yield from (f"  {one}" for one in shown[:_MOST_LINES])
    if len(shown) > _MOST_LINES:
        yield f"  {len(shown) - _MOST_LINES} more: --out FILE has them all"


def _read(made: Certificate) -> str:
    """Describe when the certified texts were read from AutoScribe."""
    if made.read is None:
        return ""
    first, last = map(instant_text, made.read)
    return f"; texts as read from AutoScribe between {first} and {last}{'' if made.is_deep else ' (anew: --deep)'}"


def write_certificate(made: Certificate, out: Path) -> None:
    """Write the certificate as JSON.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        out.touch(_PRIVATE)
        out.write_text("\n".join([*made.json_lines(), ""]), encoding="utf-8")
    except OSError as error:
        raise wrong(
            "--out", f"cannot be written ({error.strerror})", "Name a file in a folder that is there."
        ) from None


_TOLD_EVERY: Final = 2.0  # seconds
_LONGEST: Final = 3_600.0  # seconds


@dataclass(frozen=True, slots=True)
class KeptCertificate:
    """Last certificate of a destination that was made at the console."""

    stored: StoredCertificate

    @property
    def made(self) -> Mapping[str, Any]:
        """The certificate as JSON."""
        return self.stored.document

    @property
    def account(self) -> Mapping[str, Any]:
        """Account of the destination, see `ReportAccount`."""
        return cast(Mapping[str, Any], self.made["destinations"][0])

    @property
    def span(self) -> TimeSpan:
        """Span in which its reports were signed."""
        return TimeSpan(*(micros(datetime.fromisoformat(self.made[one])) for one in ("from", "to")))

    @property
    def took(self) -> timedelta:
        """Duration of the run."""
        return timedelta(microseconds=self.stored.ended - self.stored.began)


class CertificateDesk:
    """Desk of one process where certificates are made and read; they are stored, so that every process has them."""

    def __init__(self) -> None:
        self._read: dict[str, KeptCertificate] = {}
        self._task: asyncio.Task[None] | None = None

    async def last(self, engine: Engine, names: Sequence[str]) -> Mapping[str, KeptCertificate]:
        """Return the last certificate of each of these destinations that has one; it may be megabytes, read once.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        runs = CertificateRuns(engine)
        stored = await runs.stored(names)
        for name in names:
            if name not in self._read or stored.get(name) != self._read[name].stored.began:
                self._read.pop(name, None)
                if name in stored and (found := await runs.certificate(name)) is not None:
                    self._read[name] = KeptCertificate(found)
        return {name: self._read[name] for name in names if name in self._read}

    async def begin(self, engine: Engine, configuration: Configuration, name: str, span: TimeSpan, by: str) -> None:
        """Begin a run for a destination (empty: all), unless one goes on in any process.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        began = await CertificateRuns(engine).begin(name, by, micros(clock.now()))
        if began is not None:
            self._task = asyncio.ensure_future(_made_and_kept(engine, configuration, name, span, began))

    async def run(self, engine: Engine) -> CertificateRun | None:
        """Return the run that goes on, or the last one; None if there was none.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        return await CertificateRuns(engine).run()


async def _made_and_kept(engine: Engine, configuration: Configuration, name: str, span: TimeSpan, began: int) -> None:
    """Make a certificate for each destination and store it, or why there is none."""
    documents: dict[str, Any] = {}
    fault = ""
    counted: tuple[int, int | None] = 0, None

    def count(done: int, total: int | None) -> None:
        nonlocal counted
        counted = done, total

    try:
        async with asyncio.timeout(_LONGEST), alongside([_told(engine, began, lambda: counted)]):
            asked = destinations_named(configuration, name or None)
            made = await make_certificate(configuration, engine, asked, span, count=count)
        documents = {one.place.label: replace(made, accounts=[one]).document for one in made.accounts}
    except (GatewayError, TimeoutError) as error:
        fault = str(error) or "it took longer than an hour"
    except Exception as error:
        fault = f"the log says why ({code_of(error)})"
        get_logger().error("certificate-failed", code=code_of(error), exc_info=error)
    try:
        await CertificateRuns(engine).end(began, micros(clock.now()), documents, fault)
    except GatewayError as error:
        get_logger().error("certificate-failed", code=error.code)


async def _told(engine: Engine, began: int, counted: Callable[[], tuple[int, int | None]]) -> None:
    """Store every few seconds how far a run is, and with that, that it goes on."""
    while True:
        await asyncio.sleep(_TOLD_EVERY)
        with suppress(GatewayError):
            await CertificateRuns(engine).seen(began, *counted(), micros(clock.now()))
