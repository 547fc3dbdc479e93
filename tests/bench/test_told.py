"""Time from a webhook to the acknowledgement of its message, while reads run at half their maximum.

Run by `make bench`: AutoScribe (the sandbox, which answers at once), the receiver and who asks on one core, the gateway
with the roles api, sync and feed on the other. Reports are signed one after the other, by turns without load and with
warm reads at half the rate that the gateway can answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from bench import paced, stores, wrk
from bench.ack_server import Acknowledging
from bench.machine import ASKING, on_core
from bench.margins import at_most
from bench.serving import gateway
from fakes.databases import at_once
from fakes.feed_site import destination
from fakes.gateway_process import site_file

from gateway.runtime.command_words import SANDBOX_API_KEY
from gateway.sandbox.people import FACILITIES
from gateway.sandbox.webhooks import signature

STUDIES, TARGETS, ROUNDS, SECONDS, QUIET = 200, 100, 3, 10, 3
LOOK = 0.25  # seconds between two looks of the feed for something to make
P50, P99 = 50, 150  # milliseconds to reach while nothing else is asked
Acknowledged = asyncio.Queue[tuple[bytes, float]]
KNOWN = {one.name for one in FACILITIES if one.is_known}
KEY = "whsec_YmVuY2gtd2ViaG9vay1rZXk="

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk: apt-get install -y wrk"),
]


@contextmanager
def sandbox() -> Iterator[str]:
    """The address of an AutoScribe."""
    command = [sys.executable, "-u", "-m", "gateway", "sandbox", "--port", "0", "--studies", str(STUDIES)]
    with on_core(ASKING):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with process:
        try:
            yield re.search(r"http://[^,]+", process.stdout.readline())[0]
        finally:
            process.terminate()


class Noting(Acknowledging):
    """Receiver that acknowledges at once and records each message with its time."""

    def __init__(self, acknowledged: Acknowledged) -> None:
        super().__init__()
        self._acknowledged, self._message = acknowledged, b""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._message += data
        if b"\x1c" in data:
            self._acknowledged.put_nowait((self._message, time.perf_counter()))
            self._message = b""


class Told:
    """Signer of reports in AutoScribe that sends the gateway a webhook for each."""

    def __init__(self, client: httpx.AsyncClient, upstream: str, base: str, acknowledged: Acknowledged) -> None:
        self._client, self._upstream, self._acknowledged = client, upstream, acknowledged
        self._hook = f"{urlsplit(base).scheme}://{urlsplit(base).netloc}/webhooks/autoscribe"
        self._count = 0

    async def quiet(self) -> None:
        """Wait until nothing is sent any more, since earlier reports are still being sent at the start."""
        while True:
            try:
                await asyncio.wait_for(self._acknowledged.get(), QUIET)
            except TimeoutError:
                return

    async def once(self) -> float:
        """Return the seconds from the webhook of a new report to the acknowledgement of its message."""
        signed = await self._signed()
        self._count += 1
        data = {"reportId": signed["reportId"], "studyId": signed["studyId"], "isCritical": False}
        event = {"id": f"whe_{self._count}", "type": "report.delivered", "data": data}
        body, name, at = json.dumps(event).encode(), f"msg_{self._count}", int(time.time())
        headers = {"webhook-id": name, "webhook-timestamp": str(at), "content-type": "application/json"}
        headers["webhook-signature"] = signature(KEY, name, at, body)
        begun = time.perf_counter()
        answer = await self._client.post(self._hook, content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        async with asyncio.timeout(30):
            while True:
                message, at = await self._acknowledged.get()
                if signed["mrn"].encode() in message and at > begun:
                    return at - begun

    async def _signed(self) -> dict[str, str]:
        """A report that was just signed and is sent: the account has some of long ago, and of nobody."""
        while True:
            signed = (await self._client.post(f"{self._upstream}/sandbox/sign?critical=false")).json()
            asked, headers = {"studyId": signed["studyId"]}, {"Authorization": f"Bearer {SANDBOX_API_KEY}"}
            found = await self._client.get(f"{self._upstream}/v1/autoScribe/reports", params=asked, headers=headers)
            (report,) = found.json()["reports"]
            said, at = report["snapshotMetadata"], report["signedAt"] or "2000-01-01T00:00:00Z"
            is_new = datetime.now(UTC) - datetime.fromisoformat(at) < timedelta(days=1)
            is_sent = (
                said.get("patientName") and said.get("facilityName") in KNOWN and said.get("mrn", "").startswith("SBX")
            )
            if is_new and is_sent:
                return {**signed, "mrn": said["mrn"]}

    async def during(self, seconds: float) -> list[float]:
        """Measure repeatedly, one after the other, for this time."""
        until, took = time.perf_counter() + seconds, []
        while time.perf_counter() < until:
            await asyncio.sleep(random.uniform(0, LOOK))  # else each comes just after the gateway has looked
            took.append(await self.once())
        return took


@asynccontextmanager
async def listening() -> Iterator[tuple[int, Acknowledged]]:
    """Run a receiver; yield its port and the times of its acknowledgements."""
    acknowledged: Acknowledged = asyncio.Queue()
    server = await asyncio.get_running_loop().create_server(lambda: Noting(acknowledged), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], acknowledged


async def measured(url: str, folder: Path, upstream: str) -> list[tuple[list[float], list[float], float]]:
    """Measure in rounds: times without and with load, and reads answered a second."""
    engine = stores.engine_of(url)
    async with engine.opened():
        await stores.taken_in(engine, stores.studies(STUDIES), 8)
        await stores.swept(engine, STUDIES)
        targets = [address for address, _ in await stores.reports(engine, TARGETS)]
    await stores.settled(url)
    async with listening() as (port, acknowledged), httpx.AsyncClient(timeout=30) as client:
        config = site_file(folder)
        config.write_text(config.read_text() + destination(port, on_conflict='"send"'))
        more = {"roles": "api,sync,feed", "upstream": upstream, "config": config, "AVARA_WEBHOOK_KEY": KEY}
        with gateway(url, folder, **more) as base:
            told = Told(client, upstream, base, acknowledged)
            await told.quiet()
            script = wrk.script(folder, [f"{urlsplit(base).path}/{one}" for one in targets])
            await asyncio.to_thread(wrk.rate, base, 1, script)
            rate = await asyncio.to_thread(wrk.rate, base, 3, script) / 2
            rounds = []
            for _ in range(ROUNDS):
                without = await told.during(SECONDS)
                begun, load = time.perf_counter(), asyncio.create_task(paced.latencies(base, targets, rate, SECONDS))
                under = await told.during(SECONDS - 1)
                rounds.append((without, under, len(await load) / (time.perf_counter() - begun)))
    return rounds


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_from_a_webhook_to_its_acknowledgement_under_load(kind, new_database, tmp_path, say) -> None:
    with new_database(kind) as database, sandbox() as upstream, on_core(ASKING):
        url = f"sqlite:///{database}" if kind == "sqlite" else database
        rounds = at_once(measured(url, tmp_path, upstream))
    medians = [(statistics.median(without), statistics.median(under), rate) for without, under, rate in rounds]
    ratio = statistics.median(under / without for without, under, _ in medians)
    without, under, rate = (statistics.median(column) for column in zip(*medians, strict=True))
    slowest = [max(one for of_round in rounds for one in of_round[place]) * 1e3 for place in (0, 1)]
    alone = [one for quiet, *_ in rounds for one in quiet]
    p50, p99 = (statistics.quantiles(alone, n=100)[place] * 1e3 for place in (49, 98))
    say(
        f"webhook to ACK, {kind}, one process, nothing else asked: p50 {p50:.0f} ms, p99 {p99:.0f} ms of {len(alone)}"
        f" {at_most(p50, P50, unit=' ms')} {at_most(p99, P99, unit=' ms')}"
    )
    say(
        f"webhook to ACK, {kind}, at {rate:.0f} reads/s: {ratio:.2f} x as without load, {under * 1e3:.0f} to"
        f" {without * 1e3:.0f} ms {at_most(ratio, 3, unit=' x')}"
    )
    say(f"  the slowest of {sum(len(one) for one, *_ in rounds)}: {slowest[1]:.0f} to {slowest[0]:.0f} ms")
