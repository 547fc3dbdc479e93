"""Reports fed, and filed by a bridge of others into charts, with failures of ten kinds that AA does not show."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

from fakes.charts import speak_of
from fakes.ehr import Json, StandIn, bridged, ehr, report_of, retold
from fakes.fed import Fed, fed, site
from fakes.moving import FACILITY
from fakes.store import rows

from gateway.feed.read_back.filed_reports import FiledReports
from gateway.runtime import clock
from gateway.store.database.engine import Engine, micros
from gateway.store.feed.cancelled_reports import item_of, withdraw_cancelled
from gateway.store.feed.leases import Leases
from mappings.profile import receiver as profile

# Kind of failure -> the fate that tells of it
FAILURES = {
    "never filed": ("absent", ""),
    "filed in the chart of a namesake": ("other patient", "number"),
    "correction not filed": ("older version", ""),
    "text cut off": ("differs", "text"),
    "line left out": ("differs", "text"),
    "filed as preliminary": ("differs", "status"),
    "filed twice": ("differs", "twice"),
    "withdrawal not filed": ("differs", "not-withdrawn"),
    "left in the chart of the former patient": ("other patient", "former"),
    "numbers lost": ("differs", "identifiers"),
}
# Act that a study needs so that it can fail in this way
_NEEDS = {
    "correction not filed": "correct",
    "withdrawal not filed": "withdraw",
    "left in the chart of the former patient": "move",
}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Filer(Protocol):
    """Charts that take a bridge's transactions."""

    async def file(self, bundle: Json) -> None:
        """File a transaction."""

    async def search(self, kind: str, asked: Any) -> list[Json]:
        """Return the resources that match."""


@dataclass
class Filing:
    """Feed to a receiver whose EHR files what it gets; `planned`: study -> the act on it, and how its filing fails."""

    feed: Fed
    receiver: Any
    charts: Filer
    stand_in: StandIn
    reads: FiledReports
    dice: Random
    signed: list[Any] = field(default_factory=list)
    planned: dict[str, tuple[str, str]] = field(default_factory=dict)
    moved: float = 0.0
    people: int = 1

    def person(self, number: int) -> Json:
        """A person of whom there are two studies."""
        who = number % self.people
        name = "".join(_LETTERS[who // 26**place % 26] for place in range(4)).capitalize()
        born = f"19{40 + who % 50}-0{1 + who % 9}-1{who % 10}"
        return {
            "facilityName": FACILITY,
            "patientName": f"Given{name} Family{name}",
            "dateOfBirth": born,
            "sex": "female",
            "mrn": f"SBXGEN-{70_000 + who}",
        }

    async def sign(self, count: int, failures: int) -> None:
        """Sign reports, act on some, and have all delivered; so many of them will fail at the EHR."""
        kinds = [kind for kind in FAILURES for _ in range(failures // len(FAILURES))]
        self.people = count // 2
        acts = ["correct", "add", "withdraw", "move"]
        for number in range(count):
            signed = self.feed.account.sign_new(critical=self.dice.random() < 0.1)
            self.feed.account.change_text(
                signed.report_id,
                f"FINDINGS: Number {number} is clear.\nNo fracture.\nIMPRESSION: Nothing acute in {number}.",
            )
            self.feed.account.change_patient(signed.report_id, self.person(number))
            self.signed.append(signed)
            kind = kinds[number] if number < len(kinds) else ""
            usual = self.dice.choice(acts) if not kind and self.dice.random() < 0.05 else ""
            self.planned[signed.study_id] = _NEEDS.get(kind, usual), kind
        await self.feed.tell(*(one.study_id for one in self.signed))
        await self.feed.all_delivered(seconds=600)
        for number, one in enumerate(self.signed):
            if act := self.planned[one.study_id][0]:
                await getattr(self, act)(number, one)
        await self.feed.all_delivered(seconds=600)
        for (study_id,) in await rows(self.feed.engine, "SELECT DISTINCT study_id FROM outbox WHERE state = 'held'"):
            await self.feed.release(study_id)
        await self.feed.all_delivered(seconds=600)

    async def correct(self, number: int, one: Any) -> None:
        self.feed.account.change_text(
            one.report_id, f"FINDINGS: Number {number} is not clear.\nIMPRESSION: A fracture in {number}."
        )
        await self.feed.tell(one.study_id)

    async def add(self, _: int, one: Any) -> None:
        await self.feed.add(one)

    async def withdraw(self, _: int, one: Any) -> None:
        self.feed.account.cancel_study(one.study_id)
        await self.feed.tell(one.study_id)
        item = await item_of(self.feed.engine, one.report_id)
        await self.feed.engine.do(partial(withdraw_cancelled, [item], "asked", micros(clock.now())))
        await self.feed.pipeline.refresh(one.study_id)

    async def move(self, number: int, one: Any) -> None:
        other = {
            "mrn": f"SBXGEN-{90_000 + number}",
            "patientName": f"Else Other{_LETTERS[number % 26]}",
            "dateOfBirth": "1931-01-31",
            "sex": "male",
        }
        await self.feed.tell(speak_of(self.feed, one.report_id, **other))

    async def file(self) -> None:
        """File all that was delivered, in order, with the failures that are planned; a receiver keeps only its last."""
        sent = (
            "SELECT m.study_id, b.body FROM message m JOIN message_body b ON b.number = m.number"
            " WHERE m.state = 'delivered' ORDER BY m.number"
        )
        for study_id, made in await rows(self.feed.engine, sent):
            body, kind = bytes(made), self.planned[study_id][1]
            for bundle in _spoiled(kind, body, bridged(body, site())):
                await self.charts.file(bundle)

    async def ask(self, minutes: int) -> None:
        """Look up what is due so many minutes from now."""
        self.moved = minutes * 60.0
        await self.reads.turn()
        assert self.reads._failures == 0
        while await rows(self.feed.engine, "SELECT 1 FROM read_back WHERE due <= ?", micros(clock.now())):
            await self.reads.turn()
            assert self.reads._failures == 0

    async def found(self) -> Counter[tuple[str, str, str]]:
        """Count what was found of the messages: kind of failure, fate, detail."""
        told = "SELECT m.study_id, m.kind, r.fate, r.detail FROM read_back r JOIN message m ON m.number = r.message"
        counts: Counter[tuple[str, str, str]] = Counter()
        for study_id, cause, fate, detail in await rows(self.feed.engine, told):
            act, kind = self.planned[study_id]
            is_hit = _hits(kind, act, cause)
            counts[(kind if is_hit else "", fate, detail)] += 1
        return counts


def _hits(kind: str, act: str, cause: str) -> bool:
    """True if a failure shows in the message of that cause: of a move, in the withdrawal from the former patient."""
    return bool(kind) and (act != "move" or cause == "moved")


def _spoiled(kind: str, body: bytes, bundle: Json) -> list[Json]:
    """Return the transactions that an EHR files of a message, which fails in this way."""
    report, is_withdrawal = report_of(bundle), report_of(bundle)["status"] == "entered-in-error"
    if kind == "never filed" or (is_withdrawal and kind in _NEEDS):
        return []
    if kind == "correction not filed" and report["status"] == "corrected":
        return []
    if kind == "filed in the chart of a namesake":
        return [_replaced(bundle, r"SBXGEN-(7\d{4})", r"SBXGEN-1\1")]
    if kind == "text cut off":
        retold(report, lambda text: text[: len(text) // 2])
    if kind == "line left out":
        retold(report, lambda text: text.replace("No fracture.", ""))
    if kind == "filed as preliminary":
        report["status"] = "preliminary"
    if kind == "numbers lost":
        return [
            _replaced(
                bundle, re.escape(report["identifier"][0]["value"]), "LOST" + report["identifier"][0]["value"][:9]
            )
        ]
    if kind == "filed twice":
        return [bundle, _anew(bundle)]
    return [
        _anew(bundle)
        if kind == "left in the chart of the former patient" and report["status"] == "corrected"
        else bundle
    ]


def _replaced(bundle: Json, pattern: str, by: str) -> Json:
    return json.loads(re.sub(pattern, by, json.dumps(bundle)))


def _anew(bundle: Json) -> Json:
    """Return a transaction that files its report as a new one."""
    made = deepcopy(bundle)
    entry = next(one for one in made["entry"] if one["resource"]["resourceType"] == "DiagnosticReport")
    entry["request"] = {"method": "POST", "url": "DiagnosticReport"}
    return made


@asynccontextmanager
async def filing(engine: Engine, charts: Filer, folder: Path, patch: Any, *, seed: int = 0) -> AsyncIterator[Filing]:
    """Open a feed into an EHR that is read back from now on. Nothing waits for the budget; `ask` moves the clock."""
    async with ehr(folder, charts.search) as (stand_in, settings):
        more = {"receiver": profile("fhir-converter"), "on_conflict": "hold", "ehr": settings}
        async with fed(engine, **more) as (feed, receiver), feed.serving():
            reads = FiledReports(engine, site(), feed.destinations[0], Leases(engine, "reads", 60.0), feed.metrics)
            made = Filing(feed, receiver, charts, stand_in, reads, Random(seed))
            await reads.turn()
            real = clock.now
            patch.setattr(clock, "now", lambda: real() + timedelta(seconds=made.moved))
            patch.setattr(reads._client, "_between", 0.0)
            try:
                yield made
            finally:
                patch.undo()
                await reads._client.close()
