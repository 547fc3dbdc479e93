"""Site at night: one gateway with all its roles, and a receiver that misbehaves for each of its destinations."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme
from fakes.browsing import Browsed, browsed
from fakes.feed_site import FeedSite, destination
from fakes.gateway_process import FAST
from fakes.relay import Relay

from gateway.runtime import clock
from gateway.runtime.command_words import ROLES
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.state import SignedReport
from gateway.store.database.engine import Statement, ask, micros

# What each receiver does; `ehr` has done nothing wrong
MANNERS = {"ehr": "aa", "down": "aa", "one": "ae:1", "every": "ar", "silent": "none", "planned": "aa"}
MANNERS |= {"secured": "aa", "restored": "aa"}
PEOPLE = ("0", "1", "2")
GENERAL, MOBILE = "Sandbox General Hospital", "Sandbox Mobile Unit 7"
HER = {"facilityName": GENERAL, "mrn": "SBXGEN-4711-0815"}
ANOTHER = {**HER, "patientName": "Somebody Else", "dateOfBirth": "1931-01-31"}
_PAUSE = Statement(
    "INSERT INTO destination (name, fence, expires, holder, paused, paused_since)"
    " VALUES ('restored', 0, 0, '', 'restored', :now) ON CONFLICT (name) DO UPDATE"
    " SET paused = 'restored', paused_since = :now"
)


@dataclass
class Night:
    """Gateway in the night: its browser, its receivers by destination, and the reports that were signed."""

    site: FeedSite
    found: Browsed
    receivers: dict[str, MllpReceiver]
    reports: dict[str, SignedReport]
    autoscribe: Relay
    authority: trustme.CA

    def arrived(self, name: str) -> int:
        """Number of messages that a receiver got."""
        return len(self.receivers[name].messages)

    async def write(self, sql: str) -> list[Any]:
        """Run a statement on the connection of the gateway that writes."""
        return list(await self.found.app.state.facade.engine.do(partial(ask, Statement(sql))))


@asynccontextmanager
async def night(site: FeedSite) -> AsyncIterator[Night]:
    """Have all of it happen at once, and look at it with a browser."""
    here, folder = site.here, site.folder
    async with AsyncExitStack() as stack:
        autoscribe = Relay(urlsplit(here.env["AVARA_BASE_URL"]).port or 0)
        await stack.enter_async_context(autoscribe.running())
        receivers, authority = {"ehr": site.receiver}, trustme.CA()
        tls = _secured(folder, authority)
        for name in MANNERS.keys() - {"ehr"}:
            receivers[name] = MllpReceiver(port=0, ack=MANNERS[name], tls=tls if name == "secured" else None)
            await stack.enter_async_context(receivers[name])
        await receivers["down"].__aexit__(None, None, None)
        start = f"{clock.now() - timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}"
        tables = partial(_tables, site, receivers, start)
        site.settings(*tables(planned='["none"]'))
        await site.sync()
        # What is signed from here on was signed two minutes ago
        here.account._at, here.account.now = clock.now(), lambda: clock.now() - timedelta(minutes=2)
        reports = _signed(here.account)
        code, _, err = await here.run("sync")
        assert code == 0, err
        site.settings(*tables(planned=""))
        async with here.store() as engine:
            await engine.do(partial(ask, _PAUSE, now=micros(clock.now())))
        here.env |= {**FAST, "AVARA_BASE_URL": f"http://127.0.0.1:{autoscribe.port}"}
        found = await stack.enter_async_context(browsed(site.configuration(), ROLES))
        yield Night(site, found, receivers, reports, autoscribe, authority)


def _signed(account: Any) -> dict[str, SignedReport]:
    """Sign critical results: of several people, of two people under one number, and at an unknown facility."""
    who = {one: {"facilityName": GENERAL, "mrn": f"SBXGEN-100{one}"} for one in PEOPLE}
    who |= {"hers": HER, "another": ANOTHER, "mobile": {"facilityName": MOBILE, "mrn": "SBXMOB-1"}}
    signed = {}
    for name, said in who.items():
        signed[name] = account.sign_new(critical=True)
        account.change_patient(signed[name].report_id, said)
    return signed


def _tables(site: FeedSite, receivers: dict[str, MllpReceiver], start: str, planned: str) -> list[str]:
    usual = {"start": start, "facilities": f'["{GENERAL}"]', "mrn_authority": '"receiver"'}
    own: dict[str, dict[str, str]] = {
        "ehr": {"facilities": '["*"]', "mrn_authority": '"facility"', "on_conflict": '"hold"'},
        "down": {"critical_alert_minutes": "0.001"},
        "silent": {"ack_timeout": "0.5", "indeterminate_resends": "0"},
        "planned": {"modalities": planned} if planned else {},
        "secured": {"tls": "true", "ca_file": f'"{site.folder / "ca.pem"}"', "client_cert": f'"{client(site.folder)}"'},
    }
    tables = [destination(receivers[name].port, name, **usual | own.get(name, {})) for name in MANNERS]
    audit = f'[audit]\ndir = "{site.folder / "audit"}"\nseal_key = "{site.folder / "seal.pem"}"\n'
    return [audit, "[feed]\nbreaker_refusals = 2\nbreaker_lanes = 2\nunasked_messages = 0\n", *tables]


def client(folder: Path) -> Path:
    """Return the file of our certificate for `secured`."""
    return folder / "client.pem"


def certify(folder: Path, days: int, authority: trustme.CA) -> None:
    """Write our certificate, which is valid for some days."""
    until = datetime.now(UTC) + timedelta(days=days)
    made = authority.issue_cert("gateway.example", not_after=until)
    made.private_key_and_cert_chain_pem.write_to_path(str(client(folder)))


def _secured(folder: Path, authority: trustme.CA) -> ssl.SSLContext:
    """Return the TLS context of a receiver that wants our certificate, which expires soon."""
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    certify(folder, 12, authority)
    return context
