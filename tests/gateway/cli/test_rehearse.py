"""`receivers rehearse`: invented studies go to a test system over the destination's link, and the checklist is true."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import hl7
import pytest
from fakes.commanded import Open, Site, sites
from fakes.destination import Destination as Ehr
from fakes.ehr import Charts, bridged
from fakes.ehr import ehr as read_back_ehr
from fakes.er7_reader import all_of, field
from fakes.feed_site import destination
from hl7.mllp import start_hl7_server
from hl7apy.parser import parse_message
from starlette.responses import Response

from gateway.cli.rehearsal_studies import invented_system, rehearsal_script, run_of
from gateway.feed.operator.rehearsal import RehearsedMessage, composed
from gateway.routing import Destination, Folder
from gateway.sandbox.inbox import ReceivedMessage
from gateway.sandbox.receiver import MllpReceiver
from gateway.settings import load
from gateway.store.feed.leases import Leases
from mappings.hl7v2.judge import judge_message
from mappings.profile import RECEIVERS, Receiver, parse_site, receiver
from mappings.profile import Site as MappingSite

AT = datetime(2026, 3, 3, 15, tzinfo=UTC)
REASON = ("--reason", "Ann, before going live")
FACILITY = '["Sandbox General Hospital"]'
SITE = """
[mapping]
processing_id = "T"
vista_dfn_namespace = "VISTA"
vista_exam_keys = ["exam"]
vista_case_keys = ["case"]
[[mapping.facilities]]
name = "City Medical Center"
time_zone = "America/Chicago"
name_order = "given_family"
mrn_system = "urn:oid:2.999.7"
mrn_namespace = "VISTA"
"""
PATIENTS = """
[[patients]]
number = "4711"
name = "Zztest, Ada"
birth_date = "1950-01-02"
sex = "female"
[[patients]]
number = "4712"
name = "Zztest, Bob"
birth_date = "1960-01-02"
sex = "male"
"""
ORDERS = "".join(f'[[orders]]\naccession = "ACC{n}"\nplacer = "PLC{n}"\n' for n in range(5))


@pytest.fixture
def opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Open]:
    with sites(tmp_path, capsys) as open_site:

        @asynccontextmanager
        async def with_destination(port: int, processing_id: str = "T", **more: str):
            async with open_site() as here:
                file = here.folder / "gateway.toml"
                head = f'[mapping]\nprocessing_id = "{processing_id}"\n'
                table = destination(port, facilities=FACILITY, **more)
                file.write_text(file.read_text().replace("[mapping]\n", head) + table)
                yield here

        yield with_destination


@dataclass
class CountingEhr:
    """A receiver's port, and how many messages came to it; `then` runs before each is acknowledged."""

    port: int = 0
    total: int = 0
    then: Callable[[], object] = int

    def got(self, _: object) -> None:
        self.total += 1
        self.then()


@asynccontextmanager
async def ehr_counting(ack: str = "aa"):
    ehr = CountingEhr()
    async with MllpReceiver(port=0, ack=ack, on_message=ehr.got) as listening:
        ehr.port = listening.port
        yield ehr


async def rehearsed(here: Site, *more: str) -> tuple[int, str, str]:
    return await here.run("receivers", "rehearse", "ehr", *REASON, *more)


async def test_a_server_of_others_gets_the_whole_script_in_order_as_training_messages(opened):
    got: list[str] = []

    async def served(reader, writer):
        while True:
            try:
                message = await reader.readmessage()
            except EOFError:
                writer.close()
                return await writer.wait_closed()
            got.append(str(message))
            writer.writemessage(message.create_ack())
            await writer.drain()

    server = await start_hl7_server(served, port=0, host="127.0.0.1", encoding="utf-8")
    async with server, opened(server.sockets[0].getsockname()[1]) as here:
        code, out, _ = await rehearsed(here)
    assert (code, len(got)) == (0, 11)
    messages = [hl7.parse(one) for one in got]
    numbers = [str(one.segment("MSH")(10)) for one in messages]
    assert numbers == sorted(numbers)
    assert all(number.startswith("REHEARSAL") for number in numbers)
    assert {str(one.segment("MSH")(11)) for one in messages} == {"T"}
    assert all("REHEARSAL" in str(order(3)) for one in messages for order in one.segments("OBR"))
    assert [line.split(": ")[1] for line in out.splitlines() if line.startswith("   REHEARSAL")] == ["AA"] * 11
    assert "11 of 11 messages accepted" in out


async def test_nothing_of_a_rehearsal_is_in_the_ledger_and_the_act_is_noted(opened):
    async with ehr_counting() as ehr, opened(ehr.port) as here:
        await rehearsed(here)
        for table in ("message", "outbox", "sent_number", "study"):
            if await here.query(f"SELECT 1 FROM sqlite_master WHERE name = '{table}'"):
                assert await here.query(f"SELECT * FROM {table}") == []
        assert await here.query("SELECT verb, argument, reason FROM audit") == [
            ("receivers-rehearse", "ehr", "Ann, before going live")
        ]


@pytest.mark.parametrize("processing_id", ["P", "D"])
async def test_with_settings_that_are_not_of_a_test_system_nothing_is_sent(opened, processing_id):
    async with ehr_counting() as ehr, opened(ehr.port, processing_id) as here:
        code, out, err = await rehearsed(here)
        assert (code, out, ehr.total) == (2, "", 0)
        assert f"mapping.processing_id: {processing_id}: a rehearsal only goes to a test system" in err
        assert not here.database.exists()


async def test_while_a_gateway_sends_to_the_destination_nothing_is_sent_until_it_is_paused(opened):
    async with ehr_counting() as ehr, opened(ehr.port) as here:
        await here.run("migrate")
        async with here.store() as engine:
            assert await Leases(engine, "another gateway", 60).take("ehr")
        code, out, _ = await rehearsed(here)
        assert (code, ehr.total) == (1, 0)
        assert "a running gateway sends to ehr. Run `feed pause ehr --reason …`" in out
        await here.run("feed", "pause", "ehr", "--reason", "rehearsal")
        assert (await rehearsed(here))[0] == 0


async def test_if_the_feed_is_resumed_meanwhile_the_rest_is_not_sent(opened):
    async with ehr_counting() as ehr, opened(ehr.port) as here:
        await here.run("migrate")

        def serve_at_the_third():
            if ehr.total == 3:
                with closing(sqlite3.connect(here.database)) as database, database:
                    database.execute(
                        "INSERT INTO destination (name, fence, expires, holder, paused) VALUES ('ehr', 1, ?, 'x', '')",
                        (2**62,),
                    )

        ehr.then = serve_at_the_third
        code, out, _ = await rehearsed(here)
    assert (code, ehr.total) == (1, 3)
    assert out.count("not sent: a running gateway sends to ehr") == 8
    assert "3 of 11 messages accepted" in out


async def test_a_message_in_doubt_is_settled_first(opened):
    async with ehr_counting() as ehr, opened(ehr.port) as here:
        await here.run("migrate")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("gateway.feed.operator.rehearsal.stock", in_doubt)
            code, out, _ = await rehearsed(here)
        assert (code, ehr.total) == (1, 0)
        assert "ehr has messages in hand or in doubt (indeterminate)" in out


async def in_doubt(engine, name, most):
    from gateway.store.feed.ledger import QueueCounts

    return QueueCounts({"indeterminate": 1}, {}, {}, None, (), 0)


async def test_a_refused_message_is_said_and_the_others_are_sent(opened):
    async with ehr_counting("ae:2") as ehr, opened(ehr.port) as here:
        code, out, _ = await rehearsed(here, "--json")
    answers = [one["answer"] for one in json.loads(out)["messages"]]
    assert (code, len(answers)) == (1, 11)
    assert {one[:2] for one in answers} == {"AA", "AE"}


async def test_after_a_message_without_an_answer_nothing_more_is_sent(opened):
    async with ehr_counting("none") as ehr, opened(ehr.port, ack_timeout="0.3") as here:
        code, out, _ = await rehearsed(here)
    assert (code, ehr.total) == (1, 1)
    assert ": ack-timeout" in out
    assert out.count("not sent: the message before has no usable answer") == 10


async def test_without_an_ehr_to_read_back_nothing_is_sent_that_should_be_ticked(opened):
    async with ehr_counting() as ehr, opened(ehr.port) as here:
        code, out, err = await rehearsed(here, "--filed")
        assert (code, out, ehr.total) == (2, "", 0)
        assert "--filed: the EHR of ehr cannot be read back" in err


@dataclass
class ChartedEhr:
    """A receiver whose EHR files each message, after a while, unless its number in the rehearsal is one of `lost`."""

    charts: Charts
    lost: frozenset[int] = frozenset()
    total: int = 0
    site: MappingSite | None = None
    filing: tuple[asyncio.Task[None], ...] = ()

    def got(self, message: ReceivedMessage) -> None:
        self.total += 1
        if self.total not in self.lost:
            self.filing = (*self.filing, asyncio.create_task(self.file(message.payload)))

    async def file(self, payload: bytes) -> None:
        await asyncio.sleep(0.1)
        for order in messages_of_each_order(payload):
            await self.charts.file(bridged(order, self.site))


@pytest.fixture
def charted(opened, tmp_path, monkeypatch):
    """Open a site whose destination is read back from charts; `lost` are messages that the EHR does not file."""
    monkeypatch.setattr("gateway.feed.operator.rehearsal._PATIENCE", 1.0)
    monkeypatch.setattr("gateway.feed.operator.rehearsal._BETWEEN", 0.1)

    @asynccontextmanager
    async def with_charts(*lost: int):
        charts = Charts()
        async with read_back_ehr(tmp_path, charts.search) as (stand_in, settings):
            filed = ChartedEhr(charts, lost=frozenset(lost))
            keys = {
                "ehr_url": settings.url,
                "ehr_token_url": settings.token_url,
                "ehr_client_id": settings.client_id,
                "ehr_key_file": str(settings.key_file),
            }
            more = {key: f'"{value}"' for key, value in keys.items()} | {"ehr_requests_per_hour": "100000"}
            async with MllpReceiver(port=0, on_message=filed.got) as listening, opened(listening.port, **more) as here:
                filed.site = load(here.folder / "gateway.toml").site
                yield here, stand_in, filed

    return with_charts


async def test_the_checklist_is_ticked_by_what_the_ehr_shows(charted):
    async with charted() as (here, stand_in, _):
        code, out, _ = await rehearsed(here, "--filed")
    items = [line for line in out.splitlines() if line.startswith("   [")]
    assert (code, stand_in.refused) == (0, [])
    assert all(one.startswith("   [x]") for one in items)
    assert out.count("EHR: found") == len(items) >= 11
    assert f"{len(items)} of {len(items)} items stand in the EHR as they were sent" in out


async def test_what_the_ehr_does_not_file_stays_unticked_and_says_so(charted):
    """It does not file the second addendum, nor the withdrawal of the report of two orders."""
    async with charted(3, 8) as (here, _, _):
        code, out, _ = await rehearsed(here, "--filed", "--json")
    filed = [one["filed"] for one in json.loads(out)["messages"]]
    assert code == 1
    assert filed == [["found"]] * 2 + [["older version"]] + [["found"]] * 3 + [
        ["found", "found"],
        ["differs not-withdrawn", "differs not-withdrawn"],
        *[["found"]] * 3,
    ]


async def test_an_ehr_that_gives_no_answer_is_not_called_empty_and_is_left_alone(charted):
    async with charted() as (here, stand_in, filed):
        stand_in.spoils = lambda kind: Response(status_code=503) if kind == "DiagnosticReport" else None
        code, out, _ = await rehearsed(here, "--filed", "--json")
    shown = [one for message in json.loads(out)["messages"] for one in message["filed"]]
    assert (code, filed.total, set(shown)) == (1, 11, {"not checkable status-503"})
    assert stand_in.requests["DiagnosticReport"] < 15


async def test_patients_and_orders_of_the_test_system_are_used(opened):
    async with ehr_counting() as ehr, opened(ehr.port) as here:
        file = here.folder / "test-system.toml"
        file.write_text(PATIENTS + ORDERS)
        code, out, _ = await rehearsed(here, "--patients", str(file))
    items = [line for line in out.splitlines() if line.startswith("   [ ]")]
    assert code == 0
    assert all(" patient 4711, accession ACC" in one or " patient 4712, accession ACC" in one for one in items)


async def test_a_file_of_the_test_system_that_is_not_as_it_must_be_is_refused_without_its_values(opened):
    async with ehr_counting() as ehr, opened(ehr.port) as here:
        file = here.folder / "test-system.toml"
        for text in (PATIENTS, ORDERS, PATIENTS.replace("sex", "gender") + ORDERS, "no toml"):
            file.write_text(text)
            code, out, err = await rehearsed(here, "--patients", str(file))
            assert (code, out, ehr.total) == (2, "", 0)
            assert "--patients: " in err
            assert "4711" not in err


def pack(to: Receiver) -> list[RehearsedMessage]:
    site = replace(parse_site(SITE), sending_facility="CITY", receiving_application="EHR", receiving_facility="CITY")
    there = Destination("ehr", "destination[0]", Folder(Path()), to, AT)
    run = run_of(AT)
    system = invented_system(run)
    if to.vista_patient == "dfn":
        system = replace(system, patients=tuple({**one, "number": f"4{n}"} for n, one in enumerate(system.patients)))
    script = rehearsal_script(run, AT, system, there.site(site), there)
    return list(composed(script, there.site(site), there))


PROFILES = {
    **{name: receiver(name) for name in RECEIVERS if name != "vista-2.4"},
    **{f"addendum={name}": replace(receiver("generic"), addendum=name) for name in ("append", "new_order")},
    **{f"accessions={name}": replace(receiver("generic"), accessions=name) for name in ("messages", "first")},
    **{f"pdf={name}": replace(receiver("generic"), pdf=name) for name in ("ed", "separate_message")},
    "void": replace(receiver("generic"), status_map=(("W", "void"),)),
}


@pytest.mark.parametrize("name", PROFILES)
def test_parsers_of_others_and_our_judge_read_every_message_of_a_profile(name):
    messages = [one for one in pack(PROFILES[name]) if one.body]
    assert len(messages) >= 10
    for one in messages:
        assert judge_message(one.body) == ()
        text = one.body.decode()
        for parsed in (
            str(hl7.parse(text).segment("MSH")(10)),
            parse_message(text, find_groups=False).msh.msh_10.value,
        ):
            assert parsed == one.control_id


@pytest.mark.parametrize("name", ["generic", "addendum=append", "addendum=new_order", "pdf=separate_message"])
def test_the_checklist_says_what_an_ehr_has_that_files_by_filler_number(name):
    """The EHR of the test files each message by OBR-3, and knows nothing of the checklist."""
    ehr = Ehr()
    for one in pack(PROFILES[name]):
        for group in messages_of_each_order(one.body):
            ehr.receive(group)
        for item in one.items:
            result = next(found for key, found in ehr.results.items() if key.startswith(item.filler_number))
            shown = [line for line in result.lines if line.startswith("REHEARSAL ")]
            assert sorted(item.text) == sorted(shown)
            assert not set(item.gone) & set(shown)
            assert result.patients[-1].partition("^")[0] == item.patient_number
            assert (result.history[-1] == "W") is (item.status == "withdrawn")
            assert bool(result.flagged) is item.is_critical
            assert bool(result.files) is item.has_pdf


def messages_of_each_order(message: bytes) -> list[bytes]:
    """A message of several orders as one for each: the EHR of the test takes one order in a message."""
    head, *orders = message.rstrip(b"\r").split(b"\rORC")
    return [head + b"\rORC" + order + b"\r" for order in orders]


def test_every_event_that_the_feed_knows_is_in_the_script():
    messages = [one.body for one in pack(PROFILES["pdf=ed"])]
    codes = [field(one, "OBR-25") for one in messages]
    assert codes.count("F") == 4
    assert [row[11] for one in (messages[7], messages[9]) for row in all_of(one, "OBX")[:1]] == ["W", "W"]
    assert [field(one, "PID-3")[:11] for one in messages[8:]] == ["REHEARSAL-1", "REHEARSAL-1", "REHEARSAL-2"]
    assert {row[8] for row in all_of(messages[4], "OBX")} >= {"AA"}
    assert {row[8] for row in all_of(messages[5], "OBX")} == {""}
    assert len(all_of(messages[6], "OBR")) == 2
    assert "ED" in {row[2] for row in all_of(messages[6], "OBX")}
    assert max(len(row[5]) for row in all_of(messages[4], "OBX")) > 400
    assert "胸部" in messages[4].decode()


def test_a_message_that_breaks_a_rule_of_its_receiver_has_no_bytes_to_send():
    broken = replace(receiver("rad128"), uid="zds")
    made = pack(broken)
    assert [one.body for one in made] == [None] * len(made)
    assert made[0].answer == "it breaks the receiver's rule uid-obx-there"
