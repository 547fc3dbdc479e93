"""Upgrades of databases that earlier releases left in mid-traffic, on both stores; decision D47.

Carries out no clause of a standard. Each database has reports that are delivered, queued, in hand, in doubt, held and
before the start of a destination, and a webhook that nobody worked off: tests/upgrade/write_fixture.py says how.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.databases import at_once
from fakes.gateway_process import environment, ran, started
from fakes.inbox import body, signed
from fakes.old_release import PORTS, WEBHOOK_KEY, AccountServer, OldRelease, load, old_releases, query
from fakes.scripted_server import ScriptedServer

from gateway.runtime import clock
from gateway.sandbox.receiver import MllpReceiver
from gateway.store.database.kept import served_version
from mappings.hl7v2.received import read
from mappings.patient.identifiers import fhir_id

QUEUE = "SELECT number, destination, study_id, report_id, kind, state, reason, due, attempts, doubts FROM message"
OWED = "SELECT number, destination, study_id, report_id, kind, state, reason, due, signed, decided FROM outbox"
REVISION = "SELECT version_num FROM alembic_version"
LANES = "SELECT destination, study_id, reason, since FROM lane"
BODIES = (
    "SELECT v.body, v.version, v.updated FROM resource r JOIN version v ON v.resource = r.number"
    " AND v.version = r.version"
)
VERSIONS = "SELECT resource, version, updated, body FROM version"
OPEN = (
    "SELECT m.destination, m.control_id, b.body FROM message m JOIN message_body b ON b.number = m.number"
    " WHERE m.state = '{}' ORDER BY m.number"
)


@dataclass
class Upgraded:
    """A database of an earlier release under the present one, with its receivers and AutoScribe."""

    url: str
    env: dict[str, str]
    log: Path
    autoscribe: AccountServer
    came: dict[str, list[bytes]] = field(default_factory=lambda: {name: [] for name in PORTS})

    @property
    def signed_meanwhile(self) -> tuple[str, str]:
        """Return a report and an addendum that were signed when the earlier release ran no more."""
        account = self.autoscribe.account
        return account["signed_meanwhile"], account["added_meanwhile"]

    async def rows(self, sql: str) -> set[tuple[Any, ...]]:
        return set(await query(self.url, sql))

    async def queued(self, state: str) -> dict[str, list[bytes]]:
        """Return the bytes of all messages of a state in their order, by destination."""
        found: dict[str, list[bytes]] = {name: [] for name in PORTS}
        for destination, _, content in await query(self.url, OPEN.format(state)):
            found[destination].append(bytes(content))
        return found

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.05)

    async def until_none(self, sql: str) -> None:
        async with asyncio.timeout(60):
            while await query(self.url, sql):
                await asyncio.sleep(0.05)

    async def about(self, *report_ids: str) -> Counter[tuple[str, str]]:
        """Count the messages that came about these reports, by destination and report."""
        made = await query(self.url, "SELECT destination, report_id, control_id FROM message")
        ids = {name: Counter(map(control_id, messages)) for name, messages in self.came.items()}
        counted: Counter[tuple[str, str]] = Counter()
        for name, report_id, key in made:
            if report_id in report_ids:
                counted[name, report_id] += ids[name][key]
        return counted


def releases() -> Iterator[Any]:
    """Yield all databases; usually each release runs on one of the stores, in turn, and `make soak` runs the others."""
    for number, one in enumerate(old_releases()):
        marks = [pytest.mark.soak] if number % 4 in {0, 3} else []
        yield pytest.param(one, marks=marks, id=f"{one.name}-{one.store}")


@pytest.fixture(params=releases())
def release(request: pytest.FixtureRequest) -> OldRelease:
    return request.param


@pytest.fixture
def url(request: pytest.FixtureRequest, release: OldRelease, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of the database as that release left it."""
    server = request.getfixturevalue("postgres_server") if release.store == "postgresql" else None
    with server.database("template0") if server else nullcontext(f"sqlite:///{tmp_path / 'gateway.db'}") as url:
        at_once(load(url, release.sql))
        yield url


@pytest.fixture
async def old(release: OldRelease, url: str, tmp_path: Path) -> AsyncIterator[Upgraded]:
    """Serve the receivers and the AutoScribe of that database."""
    account = release.account
    autoscribe = AccountServer(account)
    for name, text in account["beside"].items():
        (tmp_path / name).write_text(text)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServer(autoscribe))
        receivers = {name: await stack.enter_async_context(MllpReceiver(port=0)) for name in PORTS}
        config = tmp_path / "gateway.toml"
        config.write_text(release.settings({name: one.port for name, one in receivers.items()}))
        env = environment(server.url, url, config, AVARA_WEBHOOK_KEY=WEBHOOK_KEY)
        made = Upgraded(url, env, tmp_path / "log", autoscribe)
        for name, receiver in receivers.items():
            receiver.on_message = lambda message, name=name: made.came[name].append(message.payload)
        yield made


async def test_check_config_takes_the_settings_of_an_earlier_release_and_leaves_its_database_alone(old):
    before = await old.rows(REVISION)
    code, _, said = await ran(["check-config"], old.env)
    assert code == 0, said
    assert await old.rows(REVISION) == before


async def test_migrating_keeps_every_row_of_the_queue_and_owes_nothing_new(old):
    tables = (QUEUE, OWED, LANES, VERSIONS, "SELECT webhook_id, state, attempts FROM webhook", "SELECT * FROM study")
    before = [await old.rows(sql) for sql in tables]
    code, _, said = await ran(["migrate"], old.env)
    assert code == 0, said
    assert all(before)
    assert [await old.rows(sql) for sql in tables] == before


async def test_rerender_owes_and_sends_nothing_and_reads_what_the_release_stored(old):
    before = [await old.rows(sql) for sql in (QUEUE, OWED, LANES)]
    served = {served_version(*row) for row in await query(old.url, BODIES)}
    code, out, said = await ran(["rerender"], old.env)
    assert code == 0 and "nothing was sent" in out, said
    stored = await query(old.url, BODIES)
    assert {json.loads(one)["id"] for one in served} <= {json.loads(served_version(*row))["id"] for row in stored}
    assert [await old.rows(sql) for sql in (QUEUE, OWED, LANES)] == before
    assert not any(old.came.values())


SERVE = ("serve", "--port", "0")
HELD = f"{OWED} WHERE state = 'held'"
IN_DOUBT = f"{QUEUE} WHERE state = 'indeterminate' AND destination = 'doubts'"
UNWORKED = "SELECT webhook_id FROM webhook WHERE state = 'waiting'"
CURRENT = "SELECT address, version FROM resource WHERE owner <> '{}' AND owner IN (SELECT study_id FROM study)"
SERVED = (
    "SELECT r.address, v.body, v.version, v.updated FROM resource r JOIN version v ON v.resource = r.number"
    " AND v.version = r.version WHERE r.type = 'DiagnosticReport' AND r.owner <> '{}'"
)


async def test_what_was_queued_or_in_hand_leaves_once_with_its_bytes_and_what_is_held_stays_so(old):
    old.autoscribe.is_down = True
    in_hand, queued = await old.queued("sending"), await old.queued("queued")
    held, in_doubt, lanes, owed = [await old.rows(sql) for sql in (HELD, IN_DOUBT, LANES, OWED)]
    expected = in_hand["slow"] + queued["slow"]
    assert len(in_hand["slow"]) == 1 and len(queued["slow"]) == 1 and len(queued["paused"]) == 4
    with started([*SERVE], old.env, old.log) as gateway:
        await gateway.address()
        await old.until(lambda: len(old.came["slow"]) >= len(expected))
        await clock.sleep(2)  # whatever else would be sent is sent in this time
        assert old.came == {name: expected if name == "slow" else [] for name in PORTS}
        code, _, said = await ran(["feed", "resume", "paused", "--yes"], old.env)
        assert code == 0, said
        await old.until(lambda: len(old.came["paused"]) >= len(queued["paused"]))
        await clock.sleep(1)
        assert old.came["paused"] == queued["paused"]
    assert held and in_doubt and lanes
    assert [await old.rows(sql) for sql in (HELD, IN_DOUBT, LANES, OWED)] == [held, in_doubt, lanes, owed]


async def test_what_was_signed_during_the_upgrade_arrives_once_and_nothing_that_was_delivered_comes_again(old):
    ((event,),) = await query(old.url, "SELECT body FROM webhook WHERE state = 'waiting'")
    unworked, signed_meanwhile, added = json.loads(event)["reportId"], *old.signed_meanwhile
    once = Counter(
        (name, report_id) for name in ("ehr", "slow", "doubts") for report_id in (unworked, signed_meanwhile)
    )
    once |= Counter({("ehr", added): 1, ("slow", added): 1})  # at `doubts` the study waits for an operator
    delivered = {key for (key,) in await query(old.url, "SELECT control_id FROM message WHERE state = 'delivered'")}
    with started([*SERVE], old.env, old.log) as gateway:
        await gateway.address()
        async with asyncio.timeout(60):
            while not once <= await old.about(unworked, signed_meanwhile, added):
                await asyncio.sleep(0.1)
        await old.until_none(UNWORKED)
        await clock.sleep(1)
    assert +await old.about(unworked, signed_meanwhile, added) == once
    came = [control_id(message) for messages in old.came.values() for message in messages]
    assert len(delivered) == 15 and not delivered & set(came)
    assert max(Counter(came).values()) == 1
    assert not old.came["later"]


async def test_what_autoscribe_says_as_before_is_served_as_before_with_no_version_and_no_message(old):
    changed = old.autoscribe.study_of(old.signed_meanwhile[1])
    known = [row for row in await query(old.url, "SELECT report_id, study_id FROM report") if row[1] != changed]
    current, rows = await old.rows(CURRENT.format(changed)), await query(old.url, SERVED.format(changed))
    served = {address: served_version(*row) for address, *row in rows}
    assert len(known) == len(served) == 5
    with started([*SERVE], old.env, old.log) as gateway:
        base = await gateway.address()
        await old.until_none(UNWORKED)
        old.autoscribe.asked.clear()
        await tell_again(base, known)
        await old.until_none(UNWORKED)
        assert set(old.autoscribe.asked) >= {f"/studies/{study_id}" for _, study_id in known}
        assert await shown(base, known) == served
    assert current <= await old.rows(CURRENT.format(changed))


async def tell_again(base: str, reports: list[tuple[Any, ...]]) -> None:
    """Send a webhook for each of these reports, which AutoScribe lists as before."""
    async with httpx.AsyncClient(trust_env=False) as client:
        for report_id, study_id in reports:
            event = body(event_id=f"whe_{report_id}", reportId=report_id, studyId=study_id)
            headers = signed(event, f"msg_{report_id}", clock.now(), WEBHOOK_KEY)
            answer = await client.post(f"{base}/webhooks/autoscribe", content=event, headers=headers)
            assert answer.status_code == 200


async def shown(base: str, reports: list[tuple[Any, ...]]) -> dict[str, bytes]:
    """Read each report from the facade."""
    async with httpx.AsyncClient(trust_env=False, headers={"Accept": "application/fhir+json"}) as client:
        answers = {}
        for report_id, _ in reports:
            address = f"DiagnosticReport/{fhir_id(report_id)}"
            answers[address] = (await client.get(f"{base}/fhir/{address}")).raise_for_status().content
        return answers


def control_id(message: bytes) -> str:
    return str(read(message).msh.field(10))
