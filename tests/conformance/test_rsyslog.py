"""Debian's rsyslog takes the copy of the audit over TLS, and loses none when it is killed.

RFC 5424, RFC 5425; https://www.rsyslog.com/doc/configuration/modules/imtcp.html.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
import trustme
from fakes.ports import free_port

from gateway.audit import forwarding
from gateway.audit.audit_entry import AuditEntry
from gateway.audit.forwarding import AuditForwarding, SyslogReceiver
from gateway.audit.journal import AuditJournal
from gateway.audit.seal_key import seal_key
from gateway.audit.syslog_message import lines_named
from gateway.audit.verification import compare_with_receiver
from gateway.runtime import clock
from gateway.runtime.errors import AuditNotForwarded
from gateway.runtime.tls import TlsSettings
from gateway.store.database.engine import micros

DRIVER = Path("/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so")
CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
       defaultNetstreamDriverCAFile="{folder}/ca.pem" defaultNetstreamDriverCertFile="{folder}/server.pem"
       defaultNetstreamDriverKeyFile="{folder}/server.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imtcp" address="127.0.0.1" port="{port}")
action(type="omfile" file="{folder}/received" template="RSYSLOG_SyslogProtocol23Format")
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the certificates of a receiver and of a gateway."""
    if shutil.which("rsyslogd") is None or not list(DRIVER.parent.parent.parent.glob("*/rsyslog/lmnsd_gtls.so")):
        pytest.skip("needs rsyslog with TLS: apt-get install -y rsyslog rsyslog-gnutls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, host in (("server", "127.0.0.1"), ("client", "gateway.example")):
        leaf = authority.issue_cert(host)
        (tmp_path / f"{name}.pem").write_bytes(b"".join(one.bytes() for one in leaf.cert_chain_pems))
        (tmp_path / f"{name}.key").write_bytes(leaf.private_key_pem.bytes())
    return tmp_path


@contextmanager
def rsyslog(folder, port, end=signal.SIGTERM):
    """Run rsyslog while the block runs; then end it by a signal."""
    configuration = folder / "rsyslog.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port))
    command = ["rsyslogd", "-n", "-f", configuration, "-i", folder / "pid"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(end)
        process.wait(30)


async def sent(one):
    """Send until the receiver takes it."""
    async with asyncio.timeout(60):
        while True:
            try:
                await one.turn()
            except AuditNotForwarded:
                await asyncio.sleep(0.1)
            else:
                return


async def received(folder, count):
    """Wait until the receiver's file names so many lines; return its messages."""
    path = folder / "received"
    async with asyncio.timeout(60):
        while True:
            rows = path.read_bytes().splitlines() if path.exists() else []
            if len({line for row in rows for line in lines_named(row)}) >= count:
                return rows
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("body", ["atna", "balp"])
async def test_rsyslog_has_every_entry_also_after_it_was_killed_and_its_file_agrees_with_the_journal(
    folder, body, monkeypatch
):
    monkeypatch.setattr(forwarding, "SETTLED", 0.2)
    (folder / "audit").mkdir()
    journal = AuditJournal(folder / "audit", seal_key(folder / "seal.pem"))
    await journal.turn()

    def note(number):
        shown = tuple(f"DiagnosticReport/rep-{at:032x}" for at in range(number % 3 * 60))
        entry = AuditEntry(micros(clock.now()), "search", client="c1", user="Müller & Söhne", status=200, shown=shown)
        journal.append(entry._replace(patients=("pat-1",), parameters=(("identifier", "0" * 64),)))

    tls = TlsSettings(folder / "ca.pem", folder / "client.pem", folder / "client.key")
    port = free_port()
    one = AuditForwarding(folder / "audit", SyslogReceiver("127.0.0.1", port, tls, body, "https://gateway.example"))
    with rsyslog(folder, port, signal.SIGKILL):
        for number in range(50):
            note(number)
        await sent(one)
        await received(folder, 50)
        for number in range(50, 80):
            note(number)
        await sent(one)  # rsyslog may die before it has written these
    for number in range(80, 100):
        note(number)
    with rsyslog(folder, port):
        await sent(one)
        rows = await received(folder, 100)
    one.close()
    journal.close()
    finding = compare_with_receiver(folder / "audit", [folder / "received"], ())
    assert (finding.alike, finding.newer, finding.faults) == (100, 0, ())
    if body == "atna":
        texts = [row[row.index(b"<AuditMessage") :] for row in rows if b"<AuditMessage" in row]
        assert {ElementTree.fromstring(text).tag for text in texts} == {"AuditMessage"}
