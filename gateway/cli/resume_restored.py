"""`feed resume --restored`: replay the journal of sent messages into a restored database, then resume sending.

Carries out no clause of a standard; decision D38. Each study is ingested from AutoScribe first, so that later messages
show its current state. If the journal does not tell enough about a lane, the lane is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

from gateway.app import crawling
from gateway.checks.config import api_key
from gateway.crawl.ports import Crawl
from gateway.feed.deliver.journal_file import account_of, journals
from gateway.feed.deliver.journal_lines import JournalContents, JournalEntry, seal
from gateway.feed.operator.arguments import Say, counted, destination_named, wrong
from gateway.ingest.assembly import store_for_command
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.runtime.errors import UpstreamError, UpstreamKeyRefused, UpstreamNotFound
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, Steps, instant, micros
from gateway.store.database.facts import noted
from gateway.store.database.kept import Kept, kept
from gateway.store.feed import restoring
from gateway.store.feed.destinations import now_called
from gateway.store.feed.leases import lease_standings
from gateway.store.feed.messages import hold
from gateway.store.feed.restoring import JournaledMessage
from gateway.store.feed.states import RESTORED
from gateway.store.known_study import STUDY
from gateway.store.orders.inbound import last_received
from mappings.hl7v2.rendering import filing_numbers, pdf_number
from mappings.patient.identifiers import short_id
from mappings.profile import Site

_EVERY: Final = 100  # studies between two lines of progress
_HOLD: Final = "`serve --hold-feed --restored-from INSTANT` holds what may have been sent"
_Lane = tuple[str, str]
_AS_IT_WAS: Final[Mapping[str, str]] = {}


async def resume_restored(
    configuration: Configuration, name: str | None, files: Sequence[Path], reason: str, say: Say
) -> int:
    """Replay the journals in `state_dir` and in `files`; resume one destination, or all paused as restored.

    Returns 1 if the journals are incomplete: their messages are recorded, but no destination is resumed.

    Raises:
        ConfigError: no such destination, no API key, no journal, or a journal that cannot be read.
        UpstreamError: AutoScribe cannot be reached; nothing was recorded, and the call can be repeated.
    """
    for fault in api_key(configuration):
        raise fault
    if name is not None:
        destination_named(configuration, name, enabled=False)
    accounts = _accounts([*journals(configuration.state_dir), *files])
    async with store_for_command(configuration) as engine, crawling(configuration, engine, Metrics()) as crawl:
        epoch = await restoring.epoch(engine)
        own = {journal: one for journal, one in accounts.items() if one.epoch == epoch}
        if foreign := len(accounts) - len(own):
            say(f"{counted(foreign, 'journal')} of another database: not read")
        if not own:
            raise wrong("--restored", "no journal of this database", f"Name it with --journal; else {_HOLD}.")
        heard = await restoring.recorded_batches(engine)
        await _say_lost_orders(engine, own.values(), heard, say)
        replay = JournalReplay(engine, configuration.site, crawl, say)
        await replay.run(lanes_of(own.values(), heard, await _called_now(engine, own.values())))
        lacking = lacking_of(own, heard)
        if lacking:
            say(f"the journals lack {counted(sum(lacking.values()), 'entry')} of what was sent: nothing is sent")
            for journal, count in sorted(lacking.items()):
                say(f"  {count} of journal {journal}")
            say(f"name the journals of the other gateways with --journal; else {_HOLD}")
            return 1
        last = {one.journal: max(one.last, heard.get(one.journal, 0)) for one in own.values()}
        names = [
            one.name for one in await lease_standings(engine) if one.paused == RESTORED and name in {None, one.name}
        ]
        still = await engine.do(partial(_resumed, last, names, reason, micros(clock.now())))
    known = {one.name for one in routes_of(configuration).destinations}
    again = [one for one in names if not still[one] and one in known]
    if again or not names:
        say(f"sent to again: {', '.join(again) or 'none, for none was paused as restored'}")
    for destination in names:
        if before := still[destination]:
            remedy = f"`feed resume {destination}` has it sent to again"
            say(f"{destination} stays paused, as it was before: {before}; {remedy}")
    return 0


async def _say_lost_orders(
    engine: Engine, accounts: Iterable[JournalContents], heard: Mapping[str, int], say: Say
) -> None:
    """Print since when each hospital source's messages are lost, although they were acknowledged.

    The copy is older than the first message that its journals record and it does not. It may know messages of batches
    that it had not yet recorded. If it knows all, the first of them counts: what is asked for twice is harmless.
    """
    sent = [entry for account in accounts for entry in account.since(heard.get(account.journal, 0))]
    unknown = await restoring.unclaimed(engine, {entry.control_id for entry in sent}) if sent else ()
    first = min((one.at for one in sent if one.control_id in unknown or not unknown), default=None)
    for source, received in () if first is None else (await last_received(engine, first)).items():
        say(
            f"source {source}: the last message in the copy came {_at(received)}; what came since is lost, although it"
            " was acknowledged: ask the hospital to send its messages from then on again"
        )


def _at(received: int | None) -> str:
    return "more than 7 days before" if received is None else instant(received).isoformat(timespec="seconds")


def _resumed(last: dict[str, int], names: Sequence[str], reason: str, now: int) -> Steps[dict[str, str]]:
    """Mark the journals as replayed and resume the destinations; return the reason for each that stays paused."""
    yield from restoring.record_batches(last)
    reasons = {}
    for name in names:
        yield from noted("feed-resume-restored", name, reason, now)
        reasons[name] = yield from restoring.resume_overridden(name, now)
    return reasons


def _accounts(paths: Iterable[Path]) -> dict[str, JournalContents]:
    """Read the journals, keyed by journal name; of two files of one journal, keep the longer."""
    accounts: dict[str, JournalContents] = {}
    for path in paths:
        try:
            account = account_of(path)
        except OSError as error:
            raise wrong("--journal", f"{path.name}: cannot be read ({error.strerror})", "Name a journal.") from None
        if account.journal and account.last >= accounts.get(account.journal, JournalContents()).last:
            accounts[account.journal] = account
    return accounts


def lacking_of(accounts: dict[str, JournalContents], heard: dict[str, int]) -> dict[str, int]:
    """Count, for each journal, the batches that neither the files nor the database have."""
    last = {one.journal: one.last for one in accounts.values()}
    for account in accounts.values():
        for journal, n in account.others.items():
            last[journal] = max(n, last.get(journal, 0))
    lacking = {
        journal: accounts.get(journal, JournalContents()).lacks(heard.get(journal, 0), n) for journal, n in last.items()
    }
    return {journal: count for journal, count in lacking.items() if count}


async def _called_now(engine: Engine, accounts: Iterable[JournalContents]) -> dict[str, str]:
    """Map each destination name in the journals to its present name."""
    names = {entry.destination for one in accounts for entry in one.since(0)}
    return {name: await now_called(engine, name) or name for name in names}


def lanes_of(
    accounts: Iterable[JournalContents], heard: dict[str, int], called: Mapping[str, str] = _AS_IT_WAS
) -> dict[_Lane, list[JournalEntry]]:
    """Group the messages that the database may lack into lanes, each once, in the order of sending.

    `called` maps destination names to current names.
    """
    lanes: dict[_Lane, dict[str, JournalEntry]] = {}
    entries = [entry for one in accounts for entry in one.since(heard.get(one.journal, 0))]
    for sent in sorted(entries, key=lambda one: one.at):
        entry = replace(sent, destination=called.get(sent.destination, sent.destination))
        lane = lanes.setdefault((entry.destination, entry.study_id), {})
        committed = lane.get(entry.control_id, entry).committed if entry.committed is None else entry.committed
        lane[entry.control_id] = replace(entry, committed=committed)  # keeps the place of its first attempt
    return {key: list(lane.values()) for key, lane in lanes.items()}


@dataclass(slots=True)
class JournalReplay:
    """Replay journal lanes into the restored database."""

    engine: Engine
    site: Site
    crawl: Crawl
    say: Say

    async def run(self, lanes: dict[_Lane, list[JournalEntry]]) -> None:
        """Ingest each study again, and record its messages from the journal.

        Raises:
            UpstreamError: AutoScribe cannot be reached.
            StoreUnavailable: the store cannot be reached.
        """
        studies = list(dict.fromkeys(study_id for _, study_id in lanes))
        unread = set()
        for place, study_id in enumerate(studies, 1):
            if not await self._is_read(study_id):
                unread.add(study_id)
            if place % _EVERY == 0:
                self.say(f"{place} of {counted(len(studies), 'study')} read from AutoScribe")
        held: Counter[str] = Counter()
        for (destination, study_id), entries in lanes.items():
            known = await self._kept_study(study_id)
            lane = written(entries, known, self.site, self.site.site_key)
            now = micros(clock.now())
            reason = await self.engine.do(partial(_replayed, lane, now, is_unread=study_id in unread))
            held[destination] += bool(reason)
        messages = sum(map(len, lanes.values()))
        self.say(f"the journal has {counted(messages, 'message')} of {counted(len(studies), 'study')} since the copy")
        for destination, count in sorted(held.items()):
            if count:
                self.say(f"held at {destination}: {counted(count, 'study')}; `feed status` names them")

    async def _is_read(self, study_id: str) -> bool:
        """Ingest a study; True if AutoScribe answered, even if it no longer has the study."""
        try:
            await self.crawl.ingest(study_id, listed=None)
        except UpstreamNotFound:
            return True
        except UpstreamError as error:
            if error.retry != "permanent" or isinstance(error, UpstreamKeyRefused):
                raise
            return False
        return True

    async def _kept_study(self, study_id: str) -> Kept | None:
        rows = await self.engine.fetch(STUDY, study_id=study_id)
        return kept(rows[0][2]) if rows else None


def _replayed(lane: Sequence[JournaledMessage], now: int, *, is_unread: bool) -> Steps[str]:
    reason = yield from restoring.restore_lane(lane, now)
    if is_unread and not reason:  # else it would be sent in its old state
        reason = RESTORED
        yield from hold(lane[0].destination, lane[0].study_id, reason, None, now)
    return reason


def written(entries: Sequence[JournalEntry], known: Kept | None, site: Site, key: bytes) -> list[JournaledMessage]:
    """Return the journaled messages of a lane, with original numbers in place of sealed ones where they are known."""
    reports = {report_id for one in entries for report_id in (one.report_id, *one.report_ids)}
    made = [*map(short_id, (entries[0].study_id, *sorted(reports))), *map(pdf_number, sorted(reports))]
    accessions = [] if known is None else list(filing_numbers(known.study, site, known.facts))
    numbers = {seal(key, one): one for one in (*made, *accessions)}
    patients = {one.patient_id for one in entries}
    wholes = [f"{number}/{accession}" for number, accession in product(made, ("", *accessions))]
    moved = [f"{whole}/{patient}" for whole, patient in product(wholes, patients)]
    restates = {seal(key, one): one for one in (*wholes, *moved)}
    return [_journaled_message(one, numbers, restates) for one in entries]


def _journaled_message(entry: JournalEntry, numbers: dict[str, str], restates: dict[str, str]) -> JournaledMessage:
    originals = [numbers[sealed] for sealed in entry.numbers if sealed in numbers]
    return JournaledMessage(
        destination=entry.destination,
        study_id=entry.study_id,
        report_id=entry.report_id,
        kind=entry.kind,
        control_id=entry.control_id,
        report_ids=entry.report_ids,
        patient_id=entry.patient_id,
        numbers=tuple(originals) if len(originals) == len(entry.numbers) else None,
        restates=restates.get(entry.restates, entry.restates),
        is_whole=entry.is_whole,
        is_critical=entry.is_critical,
        signed=entry.signed,
        body_hash=entry.body_hash,
        told=entry.told if entry.restates in restates else "",
        at=entry.at,
        state=entry.state,
        reason=entry.reason,
        ack=entry.ack,
        committed=entry.committed,
        accepted=entry.accepted,
        holds=entry.holds,
    )
