"""Write a database of a release in mid-traffic, on both stores, for the tests of upgrades.

Carries out no clause of a standard. Gateway and sandbox run as processes of a checkout, by default of this one. They
are led by commands and HTTP alone, which earlier releases have too:

    PYTHONPATH=tests python tests/upgrade/write_fixture.py --name 1.0.0 --checkout ../older-checkout
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import httpx
from fakes.cluster import binaries, cluster
from fakes.gateway_process import ROOT, SITE_KEY, site_file
from fakes.old_release import PORTS, STORES, WEBHOOK_KEY, Json, OldRelease, postgres_text, query, sqlite_text
from fakes.ports import free_port

from gateway.runtime import clock
from gateway.runtime.command_words import SANDBOX_API_KEY
from gateway.sandbox.receiver import MllpReceiver

_API = "/v1/autoScribe"
_STUDIES = "0"
_FAST = "[sync]\nopen_interval = 1\ncancelled_interval = 1\nsweep_interval = 1\npages_per_second = 50\n"
_IN_DOUBT = "ack_timeout = 1\nretry = 1\nindeterminate_resends = 1\n"
_SPECIAL = {"doubts": _IN_DOUBT, "slow": "ack_timeout = 300\n"}


def settings(folder: Path) -> str:
    """Return the settings file: the sandbox's facilities, and destinations that take everything."""
    text = site_file(folder, on_conflict='"send"', accession_keys='["accessionNumber"]').read_text() + _FAST
    for name, port in PORTS.items():
        text += f'[[destination]]\nname = "{name}"\nkind = "mllp"\nreceiver = "generic"\nhost = "127.0.0.1"\n'
        start = "2099-01-01T00:00:00Z" if name == "later" else "2020-01-01T00:00:00Z"
        text += f'port = {port}\nstart = {start}\nfacilities = ["*"]\n{_SPECIAL.get(name, "")}'
    return text


@dataclass
class Scene:
    """One run of a release: where it runs, its database, the receivers, and AutoScribe."""

    folder: Path
    env: dict[str, str]
    url: str
    receivers: dict[str, MllpReceiver]
    autoscribe: httpx.AsyncClient
    gateway_port: int

    @contextmanager
    def started(self, *arguments: str) -> Iterator[None]:
        """Run a command of the release while the block runs; then kill it."""
        with (self.folder / f"{arguments[0]}.log").open("wb") as log:
            command = [sys.executable, "-m", "gateway", *arguments]
            process = subprocess.Popen(command, env=self.env, cwd=self.folder, stdout=log, stderr=log)
            try:
                yield
            finally:
                process.kill()
                process.wait()

    async def run(self, *arguments: str) -> None:
        """Run a command of the release to its end."""
        command = [sys.executable, "-m", "gateway", *arguments]
        await asyncio.to_thread(subprocess.run, command, env=self.env, cwd=self.folder, check=True)

    async def post(self, path: str, text: str = "") -> Json:
        """Do in AutoScribe what people do there; AutoScribe sends the gateway a webhook."""
        return dict((await self.autoscribe.post(path, content=text)).raise_for_status().json())

    async def sign(self) -> Json:
        """Sign a report of a new study."""
        return await self.post("/sandbox/sign?critical=false")

    async def add(self, signed: Json) -> str:
        """Open an addendum to a report, and sign it; return its id."""
        await self.post(f"{_API}/reports/{signed['reportId']}/addendum")
        listed = await self.autoscribe.get(f"{_API}/reports", params={"studyId": signed["studyId"]})
        (new,) = (one["reportId"] for one in listed.json()["reports"] if one["status"] != "completed")
        await self.post(f"/sandbox/reports/{new}/sign", "ADDENDUM: The finding is benign.")
        return str(new)

    async def until(self, count: int, table: str, where: str) -> None:
        """Wait until at least so many rows of a table are as wanted."""
        sql, began = f"SELECT count(*) FROM {table} WHERE {where}", clock.monotonic()
        while True:
            with suppress(sqlite3.OperationalError, OSError):
                if (await query(self.url, sql))[0][0] >= count:
                    return
            if clock.monotonic() - began > 90:
                raise TimeoutError(f"{sql} never was {count}")
            await clock.sleep(0.1)

    async def until_delivered(self, count: int, destination: str) -> None:
        """Wait until so many messages are delivered to a destination."""
        await self.until(count, "message", f"destination = '{destination}' AND state = 'delivered'")

    async def until_served(self, client: httpx.AsyncClient, path: str) -> None:
        """Wait until a process answers."""
        for _ in range(600):
            with suppress(httpx.TransportError):
                if (await client.get(path)).status_code == 200:
                    return
            await clock.sleep(0.1)
        raise TimeoutError(path)


async def traffic(scene: Scene) -> Json:
    """Run the release until it is killed with work of every kind; return what is signed after that."""
    await scene.until_served(scene.autoscribe, "/sandbox")
    with scene.started("serve", "--insecure", "--port", str(scene.gateway_port)):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{scene.gateway_port}", trust_env=False) as gateway:
            await scene.until_served(gateway, "/readyz")
        await scene.run("feed", "pause", "paused", "--reason", "upgrade")
        in_doubt = await _settled_traffic(scene)
        scene.receivers["slow"].ack = "none"
        await scene.sign()
        await scene.until(1, "message", "destination = 'slow' AND state = 'sending'")
        await scene.sign()
        await scene.until_delivered(6, "ehr")
        await scene.until_delivered(5, "doubts")
        await scene.until(4, "message", "destination = 'paused' AND state = 'queued'")
        await scene.until(1, "message", "destination = 'slow' AND state = 'queued'")
        await scene.until(1, "(SELECT count(*) AS waiting FROM webhook WHERE state = 'waiting') w", "waiting = 0")
        await scene.autoscribe.put("/sandbox/faults", content="503")
        await scene.sign()
        await scene.until(1, "webhook", "state = 'waiting' AND attempts > 0")
    await scene.autoscribe.put("/sandbox/faults", content="")
    new = await scene.sign()
    return {"signed_meanwhile": new["reportId"], "added_meanwhile": await scene.add(in_doubt)}


async def _settled_traffic(scene: Scene) -> Json:
    """Have three reports delivered: one is in doubt, one moves to another patient, one gets an addendum.

    Return the ids of the first.
    """
    scene.receivers["doubts"].ack = "none"
    in_doubt = await scene.sign()
    await scene.until(1, "lane", "destination = 'doubts' AND culprit IS NOT NULL")
    scene.receivers["doubts"].ack = "aa"
    moved, told = await scene.sign(), await scene.sign()
    await scene.until_delivered(3, "ehr")
    await scene.until_delivered(3, "slow")
    await scene.until_delivered(2, "doubts")
    patient = {"mrn": "90000001", "patientName": "Specimen, Other", "dateOfBirth": "1950-02-03", "sex": "F"}
    await scene.autoscribe.put(f"/sandbox/reports/{moved['reportId']}/patient", json=patient)
    await scene.add(told)
    await scene.until_delivered(4, "ehr")
    await scene.until_delivered(4, "slow")
    await scene.until_delivered(3, "doubts")
    await scene.until(1, "outbox", "destination = 'ehr' AND state = 'held'")
    return in_doubt


async def account(scene: Scene) -> Json:
    """Return all that AutoScribe answers now, and the files that the gateway wrote beside the database."""

    async def get(path: str, **chosen: str) -> Json:
        answer = await scene.autoscribe.get(_API + path, params=chosen)
        return dict(answer.raise_for_status().json())

    listed = (await get("/studies", limit="100"))["studies"]
    users = (await get("/users", limit="100"))["users"]
    return {
        "studies": {one["studyId"]: await get(f"/studies/{one['studyId']}") for one in listed},
        "reports": {one["studyId"]: await get("/reports", studyId=one["studyId"]) for one in listed},
        "users": {one["userId"]: await get(f"/users/{one['userId']}") for one in users},
        "beside": {file.name: file.read_text() for file in sorted(scene.folder.glob("feed-journal-*"))},
    }


async def written(checkout: Path, release: OldRelease, url: str, folder: Path) -> None:
    """Run the scene on one store and write its files."""
    text = settings(folder)
    ports = free_port(), free_port()
    async with AsyncExitStack() as stack:
        receivers = {name: await stack.enter_async_context(MllpReceiver(port=0)) for name in PORTS}
        (folder / "gateway.toml").write_text(_with_ports(text, receivers))
        upstream = f"http://127.0.0.1:{ports[0]}"
        autoscribe = httpx.AsyncClient(
            base_url=upstream, headers={"Authorization": f"Bearer {SANDBOX_API_KEY}"}, trust_env=False
        )
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AVARA_", "GATEWAY_"))},
            "PYTHONPATH": str(checkout),
            "AVARA_API_KEY": SANDBOX_API_KEY,
            "AVARA_BASE_URL": upstream,
            "AVARA_WEBHOOK_KEY": WEBHOOK_KEY,
            "GATEWAY_CONFIG": str(folder / "gateway.toml"),
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_MAPPING__SITE_KEY": SITE_KEY,
            "GATEWAY_AUTH__MODE": "none",
        }
        scene = Scene(folder, env, url, receivers, await stack.enter_async_context(autoscribe), ports[1])
        hook = f"http://127.0.0.1:{ports[1]}/webhooks/autoscribe"
        told = ("--webhook-url", hook, "--webhook-key", WEBHOOK_KEY, "--switch", "accession=metadata")
        stack.enter_context(scene.started("sandbox", "--port", str(ports[0]), "--studies", _STUDIES, *told))
        signed = await traffic(scene)
        release.write(copied(url), await account(scene) | signed, text)


def _with_ports(text: str, receivers: dict[str, MllpReceiver]) -> str:
    for name, receiver in receivers.items():
        text = text.replace(f"port = {PORTS[name]}", f"port = {receiver.port}")
    return text


def copied(url: str) -> str:
    """Return the database as SQL."""
    if url.startswith("sqlite"):
        return sqlite_text(Path(url.removeprefix("sqlite:///")))
    command = [shutil.which("pg_dump") or "pg_dump", "--inserts", "--no-owner", "--no-privileges", "--dbname", url]
    return postgres_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Write the files of both stores, or of those named."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    name = version("autoscribe-gateway")
    options.add_argument("--name", default=name, help="name of the release; default: that of this checkout")
    options.add_argument("--checkout", type=Path, default=ROOT, help="checkout of the release; default: this one")
    options.add_argument("--store", choices=STORES, action="append", help="one store alone; default: both")
    chosen = options.parse_args()
    checkout = chosen.checkout.resolve()
    for store in chosen.store or STORES:
        release = OldRelease(chosen.name, store)
        with tempfile.TemporaryDirectory() as name:
            if store == "sqlite":
                asyncio.run(written(checkout, release, f"sqlite:///{name}/gateway.db", Path(name)))
                continue
            programs = binaries()
            if programs is None:
                sys.exit("needs PostgreSQL's server programs: apt-get install -y postgresql")
            with cluster(programs) as url:
                asyncio.run(written(checkout, release, f"{url}/postgres", Path(name)))


if __name__ == "__main__":
    main()
