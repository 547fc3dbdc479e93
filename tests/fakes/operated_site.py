"""A site in the middle of its work, for the commands of the documents: its account was read, its messages were sent."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.assertions import jwks
from fakes.commanded import Site
from fakes.feed_site import FeedSite, destination
from fakes.gateway_process import SITE_KEY, environment, site_file
from fakes.sandboxed import Running, running

from gateway.audit.seal_key import seal_key
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.upstream import SandboxOptions
from gateway.store.studies.crawling import marker

STUDIES = 24
GONE = "city-old"
_OPEN = (
    "SELECT (SELECT count(*) FROM outbox WHERE state = 'waiting')"
    " + (SELECT count(*) FROM message WHERE state IN ('queued', 'sending'))"
)
# A message to the destination that holds the only report of its study
_ONE = (
    "SELECT study_id, max(report_id), max(control_id) FROM message WHERE destination = 'city-epic'"
    " GROUP BY study_id HAVING count(*) = 1 ORDER BY study_id LIMIT 1"
)
_SHARED = "SELECT max(study_id), patient_id FROM claim GROUP BY patient_id HAVING count(*) = 2 ORDER BY 2 LIMIT 1"


class _Silent:
    """Stands in for the capture of output: the output of the preparation is of no interest."""

    def readouterr(self) -> tuple[str, str]:
        return "", ""


@dataclass(frozen=True)
class OperatedSite:
    """Database, settings and sandbox of a site, and what its commands can name.

    `spare` is a sandbox of its own, for commands that change AutoScribe.
    """

    folder: Path
    spare: Running
    env: Mapping[str, str]
    names: Mapping[str, str]

    def copied(self, folder: Path) -> dict[str, str]:
        """Copy the site's files to a folder; return the environment of a command there."""
        for file in self.folder.iterdir():
            shutil.copy(file, folder / file.name)
        here = {name: value.replace(str(self.folder), str(folder)) for name, value in self.env.items()}
        return {**here, "GATEWAY_CONFIG": str(folder / "gateway.toml"), "GATEWAY_AUDIT__DIR": str(folder / "audit")}


@contextmanager
def operated_site(folder: Path) -> Iterator[OperatedSite]:
    """Make the site, and keep its sandbox and the ports of its receivers open while the block runs."""
    options = SandboxOptions(studies=STUDIES, switches=("accession=metadata",))
    with running(options) as sandbox, running(SandboxOptions(studies=2)) as spare:
        settings = site_file(folder, accession_keys='["accessionNumber"]')
        env = environment(sandbox.url, f"sqlite:///{folder / 'gateway.db'}", settings)
        for name, key in (("city-ehr.json", "RS384 a"), ("city-ehr-new.json", "RS384 b")):
            (folder / name).write_bytes(jwks(key))
        seal_key(folder / "audit-seal.pem")
        env["GATEWAY_FHIR__TIME_ZONE"] = "America/New_York"
        own = {name: value for name, value in env.items() if name.startswith(("AVARA_", "GATEWAY_"))}
        port = asyncio.run(_worked(folder, sandbox, own))
        with socket.create_server(("127.0.0.1", port)), closing(sqlite3.connect(folder / "gateway.db")) as database:
            names = _names(database)
            yield OperatedSite(
                folder, spare, own, {**names, **_numbers(sandbox, names["study"]), "port": str(spare.options.port)}
            )


async def _worked(folder: Path, sandbox: Running, env: dict[str, str]) -> int:
    """Ingest the account and send it to two destinations, of which one is then gone; return the port of the other."""
    here: Any = Site(sandbox.state, dict(env), folder, _Silent())  # type: ignore[arg-type]
    async with MllpReceiver(port=0) as receiver, MllpReceiver(port=0) as former:
        site, file = FeedSite(here, receiver), folder / "gateway.toml"
        before = file.read_text("utf-8") + destination(receiver.port, "city-epic")
        file.write_text(before + destination(former.port, GONE))
        await site.sync()
        async with site.serving(journal=True), asyncio.timeout(60):
            while not await _is_sent(site):
                await asyncio.sleep(0.05)
        file.write_text(before)
        return receiver.port


async def _is_sent(site: FeedSite) -> bool:
    [(waiting,)] = await site.query(_OPEN)
    return not waiting


def _names(database: sqlite3.Connection) -> dict[str, str]:
    """Return what stands for each placeholder and each made-up id of the documents."""
    study, report, control_id = database.execute(_ONE).fetchone()
    shared, patient = database.execute(_SHARED).fetchone()
    return {
        "study": study,
        "marker": marker(study, SITE_KEY.encode()),
        "report": report,
        "control_id": control_id,
        "patient": patient,
        "shared": shared,
    }


def _numbers(sandbox: Running, study_id: str) -> dict[str, str]:
    """Return the numbers that AutoScribe has of a study and its patient."""
    with sandbox.http() as client:
        studies = {one["studyId"]: one for one in client.get("/studies").json()["studies"]}
    [report, *_] = sandbox.state.reports[study_id]
    return {"accession": studies[study_id]["metadata"]["accessionNumber"], "mrn": report["snapshotMetadata"]["mrn"]}
