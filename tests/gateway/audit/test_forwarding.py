"""A copy of each entry reaches a syslog receiver over TLS whatever breaks, and can be held against the journal."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import ssl
from contextlib import AsyncExitStack
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import trustme
from fakes.listening import listening

from gateway.audit import forwarding, verification
from gateway.audit.audit_entry import AuditEntry
from gateway.audit.forwarding import AuditForwarding, SyslogReceiver
from gateway.audit.journal import AuditJournal
from gateway.audit.seal_key import seal_key
from gateway.audit.segment_file import segment_paths
from gateway.audit.syslog_message import LINES, MOST_OBJECTS, lines_named
from gateway.audit.verification import compare_with_receiver
from gateway.fhir_api.audit.trail import audit_forwarding
from gateway.runtime import clock
from gateway.runtime.errors import AuditNotForwarded
from gateway.runtime.tls import TlsSettings
from gateway.settings import Audit, Configuration, Settings
from gateway.store.database.engine import micros
from mappings.profile import Site

CANONICAL = "https://gateway.example/fhir"
FRAME = re.compile(rb"(\d+) ")


class Receiver:
    """Syslog receiver over TLS that keeps what it gets."""

    def __init__(self, context):
        self.context, self.got, self.port, self._open = context, b"", 0, AsyncExitStack()

    async def open(self):
        self.port = await self._open.enter_async_context(listening(self._take, self.port, self.context))

    async def close(self):
        await self._open.aclose()

    async def _take(self, reader, writer):
        while piece := await reader.read(65_536):
            self.got += piece

    @property
    def messages(self):
        """Messages, without their frames."""
        found, rest = [], self.got
        while rest:
            length = FRAME.match(rest)
            end = length.end() + int(length[1])
            found.append(rest[length.end() : end].decode("ascii"))
            rest = rest[end:]
        return found

    @property
    def lines(self):
        return [next(lines_named(one.encode())).sequence for one in self.messages]

    async def has(self, count):
        async with asyncio.timeout(30):
            while len(self.messages) < count:
                await asyncio.sleep(0.01)


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
async def receiver(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    receiver = Receiver(context)
    await receiver.open()
    yield receiver
    await receiver.close()


@pytest.fixture
async def journal(tmp_path):
    (tmp_path / "audit").mkdir()
    journal = AuditJournal(tmp_path / "audit", seal_key(tmp_path / "seal.pem"))
    await journal.turn()
    yield journal
    journal.close()


def read_entry(number, **more):
    shown = (f"DiagnosticReport/rep-{number:032x}",)
    return AuditEntry(
        micros(clock.now()),
        "read",
        client="c1",
        status=200,
        shown=shown,
        shown_count=1,
        **{"patients": ("pat-1",)} | more,
    )


@pytest.fixture
def forward(tmp_path, authority, receiver):
    """Return a new forwarder, as after a start."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    made = []

    def make(body="atna"):
        to = SyslogReceiver("127.0.0.1", receiver.port, TlsSettings(tmp_path / "ca.pem"), body, CANONICAL)
        made.append(AuditForwarding(tmp_path / "audit", to))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def test_each_entry_is_an_audit_message_of_dicom_with_who_what_whom_and_the_line_that_it_copies(
    journal, forward, receiver
):
    journal.append(read_entry(7, address="10.0.0.1", user="Müller"))
    await forward().turn()
    await receiver.has(1)
    [message] = receiver.messages
    head, _, text = message.partition(" - DICOM+RFC3881 - ")
    assert re.fullmatch(r"<85>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ autoscribe-gateway", head)
    event = ElementTree.fromstring(text)
    assert event.tag == "AuditMessage"
    assert [one.get("UserID") for one in event.findall("ActiveParticipant")] == ["c1", "autoscribe-gateway", "Müller"]
    objects = [one.get("ParticipantObjectID") for one in event.findall("ParticipantObjectIdentification")]
    assert objects[1:] == ["Patient/pat-1", f"DiagnosticReport/rep-{7:032x}"]
    [line] = lines_named(objects[0].encode())
    assert line.sequence == 1


async def test_as_a_setting_the_body_is_an_audit_event(journal, forward, receiver):
    journal.append(read_entry(7))
    await forward("balp").turn()
    await receiver.has(1)
    event = json.loads(receiver.messages[0].partition(" AuditEvent - ")[2])
    assert event["resourceType"] == "AuditEvent"
    assert event["entity"][0]["what"]["identifier"]["system"] == LINES


async def test_an_entry_that_shows_many_resources_has_several_messages_none_over_32_kb(journal, forward, receiver):
    shown = tuple(f"DiagnosticReport/rep-{number:032x}" for number in range(500))
    journal.append(read_entry(0)._replace(shown=shown, shown_count=500))
    await forward().turn()
    await receiver.has(-(-501 // MOST_OBJECTS))
    assert max(map(len, receiver.messages)) < 32_768
    said = "".join(receiver.messages)
    assert all(one in said for one in shown)


async def test_what_a_broken_connection_may_have_lost_is_sent_again_and_what_has_settled_is_not(
    journal, forward, receiver, monkeypatch
):
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    one = forward()
    journal.append(read_entry(1))
    await one.turn()
    now[0] += forwarding.SETTLED
    await one.turn()  # entry 1 has settled
    journal.append(read_entry(2))
    await one.turn()
    await receiver.has(2)
    await receiver.close()
    journal.append(read_entry(3))
    with pytest.raises(AuditNotForwarded):
        while True:
            await one.turn()
            await asyncio.sleep(0.01)
    assert one.trouble == ""
    now[0] += 60
    assert one.trouble == AuditNotForwarded.code
    await receiver.open()
    await one.turn()
    await receiver.has(4)
    assert one.trouble == ""
    assert receiver.lines == [1, 2, 2, 3]


async def test_the_next_process_goes_on_behind_what_has_settled(journal, forward, receiver, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    first = forward()
    journal.append(read_entry(1))
    await first.turn()
    now[0] += forwarding.SETTLED
    await first.turn()
    journal.append(read_entry(2))
    other = forward()
    await other.turn()  # the first has the lock
    assert receiver.lines in ([], [1])
    first.close()
    await other.turn()
    await receiver.has(2)
    assert receiver.lines == [1, 2]


async def test_a_receiver_that_the_authorities_do_not_vouch_for_gets_nothing(journal, forward, receiver, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    one = forward()
    other = AuditForwarding(tmp_path / "audit", replace(one.receiver, tls=TlsSettings(tmp_path / "other.pem")))
    journal.append(read_entry(1))
    with pytest.raises(AuditNotForwarded):
        await other.turn()
    other.close()
    assert receiver.got == b""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            lambda rows: [*rows[:2], rows[2].replace(b'"client":"c1"', b'"client":"c2"'), *rows[3:]],
            verification.DIFFERS,
        ),
        (lambda rows: [*rows[:2], *rows[3:]], verification.ONLY_THERE),
        (lambda rows: rows[:2], verification.ONLY_THERE),
        (lambda rows: [], verification.ONLY_THERE),
    ],
)
async def test_what_was_changed_in_the_journal_shows_against_the_receivers_file(
    journal, forward, receiver, tmp_path, change, code
):
    for number in range(3):
        journal.append(read_entry(number))
    await forward().turn()
    await receiver.has(3)
    kept = tmp_path / "messages"
    kept.write_bytes(b"\n".join(one.encode() for one in receiver.messages))
    folder = tmp_path / "audit"
    assert compare_with_receiver(folder, [kept], ()) == verification.ReceiverFinding(3, 0, ())
    journal.append(read_entry(3))
    assert compare_with_receiver(folder, [kept], ()).newer == 1
    [path] = segment_paths(folder)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    assert {one.code for one in compare_with_receiver(folder, [kept], ()).faults} == {code}


async def test_what_is_missing_at_the_receiver_between_what_it_has_is_found(journal, forward, receiver, tmp_path):
    for number in range(3):
        journal.append(read_entry(number))
    await forward().turn()
    await receiver.has(3)
    kept = tmp_path / "messages"
    kept.write_text("\n".join(receiver.messages[::2]))
    [fault] = compare_with_receiver(tmp_path / "audit", [kept], ()).faults
    assert (fault.code, fault.number) == (verification.NOT_THERE, 2)


async def test_a_whole_folder_that_is_gone_is_found_unless_retention_removed_it(journal, forward, receiver, tmp_path):
    journal.append(read_entry(1))
    await forward().turn()
    await receiver.has(1)
    kept, folder = tmp_path / "messages", tmp_path / "audit"
    kept.write_text("\n".join(receiver.messages))
    [path] = segment_paths(folder)
    name = path.name.removeprefix("audit-").removesuffix(".log")
    shutil.move(path, tmp_path)
    assert [one.code for one in compare_with_receiver(folder, [kept], ()).faults] == [verification.ONLY_THERE]
    assert compare_with_receiver(folder, [kept], {name}).faults == ()


def test_a_setting_of_the_receiver_acts(tmp_path, authority):
    leaf = authority.issue_cert("gateway")
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    files = [tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")]
    named = dict(zip(("syslog_ca_file", "syslog_client_cert", "syslog_client_key"), files, strict=True))
    audit = Audit(dir=tmp_path, syslog="siem.example:6514", syslog_body="balp", **named)
    made = audit_forwarding(Configuration(Settings.model_construct(audit=audit), Site(), "test"))
    assert made.receiver == SyslogReceiver("siem.example", 6514, TlsSettings(*files), "balp", Site().canonical)
    assert audit_forwarding(Configuration(Settings.model_construct(audit=Audit(dir=tmp_path)), Site(), "test")) is None
