"""`orders try FILE`: what a message says and would do, by the functions of the real way; decisions D39, D48.

Nothing of it is stored: every table but the audit is as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.commanded import Open, sites
from fakes.hospital import AUTHORITIES, SITE
from fakes.hospital_source import Hospital, hl7, hospital_source, merging, msh, ordering, visiting
from fakes.ordered import KNOWN, Ordered, ordered
from fakes.store import rows

from gateway.cli.order_try import _Trial
from gateway.ingest.orders.apply_loop import Applying
from gateway.mllp.framing import encode
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration, Settings
from gateway.store.orders.numbers import number_text, put_study_keys
from mappings.hl7v2.inbound import read_hospital_message
from mappings.hl7v2.received import read
from mappings.hospital.authorities import HospitalNumber
from mappings.patient.identifiers import mrn_key

TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('audit', 'sqlite_sequence') ORDER BY name"
)
SOURCE = """
[[source]]
name = "{name}"
listen = "127.0.0.1:{port}"
may = ["orders", "visits", "merges"]
facility = "{facility}"
authorities = [
    {{ namespace = "{namespace}", system = "{system}" }},
    {{ namespace = "RIS", system = "urn:oid:1.9.1" }},
    {{ namespace = "HIS", system = "urn:oid:1.9.2" }},
]
"""


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Open]:
    with sites(tmp_path, capsys) as opened:
        yield opened


def add_source(here: Ordered, name: str = "city-his", port: int = 2601) -> None:
    known = KNOWN[here.facility]
    about = {"facility": here.facility, "namespace": known.mrn_namespace, "system": known.mrn_system}
    settings = here.site.folder / "gateway.toml"
    settings.write_text(settings.read_text() + SOURCE.format(name=name, port=port, **about))


async def everything(here: Ordered) -> dict[str, Any]:
    """Return the rows of every table but the audit."""
    async with here.site.store() as engine:
        names = [str(name) for (name,) in await rows(engine, TABLES)]
        return {name: sorted(map(repr, await rows(engine, f"SELECT * FROM {name}"))) for name in names}


async def tried(here: Ordered, payload: bytes, *more: str) -> tuple[int, str, str]:
    file = here.site.folder / "order.hl7"
    file.write_bytes(payload)
    return await here.orders("try", str(file), *more)


def of_her(here: Ordered, **changes: str) -> bytes:
    """Return an order for the study's patient, by the patient's number alone."""
    namespace = KNOWN[here.facility].mrn_namespace
    return ordering(mrn=changes.pop("mrn", here.mrn.value), **changes).replace(
        b"^^^CITY^MR", f"^^^{namespace}^MR".encode()
    )


async def test_a_new_order_is_shown_with_its_authorities_and_the_studies_and_nothing_is_stored(site: Open) -> None:
    async with site() as opened:
        here = await ordered(opened)
        add_source(here)
        number = HospitalNumber("patient", KNOWN[here.facility].mrn_system, "MR", mrn_key(here.mrn.value))
        async with opened.store() as engine:
            await engine.do(lambda: put_study_keys(here.study_id, [number_text(number)]))
        await here.orders("list")
        before = await everything(here)
        code, out, err = await tried(here, of_her(here), "--reason", "new interface")
        assert code == 0, err
        lines = out.splitlines()
        assert lines[0] == "message  ORM^O01 of city-his, MSH-10 1"
        known = KNOWN[here.facility]
        told = f"{here.mrn.value} (MR), named {known.mrn_namespace}, key under {known.mrn_system}, of {here.facility}"
        assert f"  number     {told}" in lines
        assert any(one.startswith("  placer     P1, names no authority, key under urn:oid:1.9.2") for one in lines)
        assert "outcome  stored, answered AA" in lines
        assert "stored   the new order: new, open" in lines
        assert f"study    {here.study_id}" in lines
        assert any(one.startswith("  now        held (several-groups): Orders of several") for one in lines)
        assert any(one.startswith("  then       none (no-") for one in lines)
        assert lines[-1] == "Nothing of it was stored."
        assert await everything(here) == before
        assert (await here.audited())[-1] == ("orders-try", "a message of city-his", "new interface")


async def test_the_file_may_have_one_block_and_nothing_else_but_one_message(site: Open, tmp_path: Path) -> None:
    async with site() as opened:
        here = await ordered(opened)
        assert (await tried(here, ordering()))[0] == 2, "no source"
        add_source(here)
        assert (await tried(here, encode(ordering())))[0] == 0
        audited = await here.audited()
        for payload, words in (
            (ordering() + ordering(control_id="2"), "it has 2 messages"),
            (encode(ordering()) * 2, "it has 2 whole MLLP blocks"),
            (encode(ordering())[:-9], "it has 0 whole MLLP blocks"),
            (hl7("FHS|^~\\&", "BHS|^~\\&") + ordering(), "a batch of messages"),
            (b"", "no HL7 v2 message"),
            (b"%PDF-1.7", "no HL7 v2 message"),
        ):
            code, out, err = await tried(here, payload)
            assert (code, out) == (2, "")
            assert words in err
        assert (await here.orders("try", str(tmp_path / "nowhere.hl7")))[0] == 2
        assert await here.audited() == audited
        add_source(here, "city-ris", 2602)
        assert "city-his, city-ris" in (await tried(here, ordering()))[2]
        assert (await tried(here, ordering(), "--source", "city-ris"))[1].startswith("message  ORM^O01 of city-ris")
        assert (await tried(here, ordering(), "--source", "mercy"))[0] == 2


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (ordering().replace(b"ORM^O01", b"MDM^T02"), "outcome  not-listed, answered AA"),
        (ordering().replace(b"|P|", b"|T|"), "outcome  wrong-processing-id, answered AR"),
        (merging("4711", "4711"), "applied  held (same-number)"),
        (visiting(), "applied  nothing"),
        (hl7(msh("ACK"), "MSA|AA|7"), "outcome  acknowledgement, not answered"),
        (ordering().replace(b"4711^^^CITY", b"4711^^^ELSEWHERE"), "issue    authority-not-of-source at PID-3"),
    ],
)
async def test_what_is_not_applied_says_why(site: Open, payload: bytes, said: str) -> None:
    async with site() as opened:
        here = await ordered(opened)
        add_source(here)
        namespace = KNOWN[here.facility].mrn_namespace
        code, out, _ = await tried(here, payload.replace(b"^^^CITY^MR", f"^^^{namespace}^MR".encode()))
        assert code == 0
        assert said in out.splitlines()
        assert json.loads((await tried(here, payload, "--json"))[1])["outcome"]


# The real way and the trial, on each database


async def trial(engine: Any, payload: bytes, **changes: Any) -> Any:
    source = hospital_source(**changes)
    received = read(payload)
    message = read_hospital_message(received, source.rules)
    applying = Applying(source, AUTHORITIES, engine, Metrics())
    settings = Configuration(Settings(), SITE, "test")
    return await _Trial(settings, source, payload, received, message, AUTHORITIES, applying).found(engine)


INBOUND = "SELECT control_id, state, code FROM inbound ORDER BY number"


async def test_the_trial_says_what_then_happens(engine: Any) -> None:
    his = Hospital(engine)
    for payload, states in (
        (ordering(), []),
        (ordering("XO", minute=1, control_id="2", accession="A2"), [1]),
        (ordering("CA", minute=2, control_id="3"), [2]),
        (merging("4711", "5000", control_id="4"), [3]),
    ):
        before = await rows(engine, INBOUND), [(one.number, one.revision) for one in await his.orders()]
        found = await trial(engine, payload)
        assert (await rows(engine, INBOUND), [(one.number, one.revision) for one in await his.orders()]) == before
        assert [one.revision for one in found.before] == (states if found.before else [])
        after = await his.sends(payload)
        assert after[-1] == (found.settled.state, found.settled.code)
        if found.after:
            assert [replace(one, number=0) for one in found.after] == [
                replace(one, number=0) for one in await his.orders()
            ]
    assert (await trial(engine, ordering())).settled is None, "a duplicate"


async def test_a_message_that_waits_is_not_needed_nor_applied_by_the_trial(engine: Any) -> None:
    his = Hospital(engine)
    await his.stores(ordering(control_id="2"))
    found = await trial(engine, ordering())
    assert (found.settled.state, await his.states()) == ("applied", [("waiting", "")])
