"""Messages are found by any identifier that a person may have, on both engines (D39)."""

from __future__ import annotations

from functools import partial

import pytest
from fakes.lanes import Scene, new
from fakes.store import made, write

from gateway.index.keys import SEPARATOR, key
from gateway.store.database.engine import Statement, ask
from gateway.store.feed import ledger
from gateway.store.feed.leases import Leases, paused
from gateway.store.feed.messages import hold, purge_bodies


@pytest.fixture
async def scene(engine):
    scene = Scene(engine, await Leases(engine, "one", 60.0).take("ehr"))
    await scene.add("stu_a", new(1, patient_id="pat-1"), new(2, patient_id="pat-2"))
    await scene.add("stu_b", new(3, patient_id="pat-2", report_ids=("rep_3", "rep_4")))
    return scene


async def test_the_messages_of_a_study_come_with_all_that_the_ledger_has(scene, engine):
    first, second = await ledger.messages_of_study(engine, "stu_a")
    assert (first.control_id, first.body, first.filler_order_numbers) == ("ID1", b"body 1", ("F1",))
    assert (second.number > first.number, second.patient_id, second.sent) == (True, "pat-2", None)
    assert "body 1" not in repr(first)


async def test_once_its_text_is_let_go_of_a_message_has_none(scene, engine):
    await scene.deliver()
    await engine.do(partial(purge_bodies, 2**62, 10))
    assert [one.body is None for one in await ledger.messages_of_study(engine, "stu_a")] == [True, False]


async def test_a_study_is_found_by_a_message_and_by_a_patient(scene, engine):
    assert await ledger.study_of_message(engine, "ehr", "ID3") == ["stu_b"]
    assert await ledger.study_of_message(engine, "his", "ID3") == []
    assert await ledger.study_of_message(engine, "ehr", "\x00") == []
    assert await ledger.studies_of_patient(engine, "pat-2") == ["stu_a", "stu_b"]


async def test_the_messages_of_a_patient_are_those_that_were_sent_and_each_is_found_by_its_number(scene, engine):
    assert await ledger.messages_of_patient(engine, "pat-1") == []
    await scene.deliver()
    [sent] = await ledger.messages_of_patient(engine, "pat-1")
    assert (sent.control_id, sent.sent is None) == ("ID1", False)
    assert await ledger.message_numbered(engine, sent.number) == sent
    assert await ledger.message_numbered(engine, 0) is None


async def test_a_study_is_found_by_a_report_of_it(scene, engine):
    report = Statement(
        "INSERT INTO report (report_id, study_id, status, is_addendum, first_seen) VALUES ('rep_3', 'stu_b', 'c', 0, 0)"
    )
    await engine.do(lambda: ask(report))
    assert await ledger.study_of_report(engine, "rep_3") == ["stu_b"]
    assert await ledger.study_of_report(engine, "rep_9") == []


async def test_a_number_is_found_whole_whoever_gave_it_out_and_nothing_that_it_begins(scene, engine):
    patient, study = key("Patient", "identifier"), key("ImagingStudy", "identifier")
    terms = {"pat-1": "42", "pat-2": "42", "pat-3": "421", "pat-4": "4"}
    rows = [made(f"Patient/{one}", terms={(patient, f"{number}{SEPARATOR}urn:{one}")}) for one, number in terms.items()]
    rows.append(made("ImagingStudy/stu-a", terms={(study, f"42{SEPARATOR}urn:acc")}, owner="stu_a"))
    await write(engine, *rows)
    assert await ledger.patients_of_number(engine, "42") == ["pat-1", "pat-2"]
    assert await ledger.studies_of_accession(engine, "42") == ["stu_a"]
    assert await ledger.studies_of_accession(engine, "4") == []


async def test_why_nothing_of_a_study_is_sent_now_is_known(scene, engine):
    assert await ledger.held_back(engine, "ehr", "stu_a") == ledger.HeldBack()
    await engine.do(lambda: hold("ehr", "stu_a", "refused", None, 1))
    await engine.do(lambda: paused("ehr", "maintenance", 1))
    assert await ledger.held_back(engine, "ehr", "stu_a") == ledger.HeldBack("refused", "maintenance")
    assert await ledger.held_back(engine, "his", "stu_a") == ledger.HeldBack()


async def test_the_versions_of_a_resource_come_in_their_order(scene, engine):
    for said in ("one", "two"):
        await write(engine, made("Patient/pat-1", said))
    found = await ledger.versions_of(engine, "Patient/pat-1")
    assert [(version, body["said"]) for version, _, body in found] == [(1, "one"), (2, "two")]
    assert await ledger.versions_of(engine, "Patient/pat-9") == []


async def test_the_newest_messages_come_first_and_without_their_bytes(scene, engine):
    assert [(one.control_id, one.body) for one in await ledger.newest_messages(engine, 2)] == [
        ("ID3", None),
        ("ID2", None),
    ]


async def test_the_last_acknowledgement_is_that_of_the_newest_delivered_message(scene, engine):
    assert await ledger.last_ack(engine, "ehr") is None
    await scene.deliver()
    last = await ledger.last_ack(engine, "ehr")
    assert (last.control_id, last.ack) == ("ID1", "CA")
    assert await ledger.last_ack(engine, "his") is None


async def test_critical_results_of_late_are_found_composed_or_not_and_older_ones_are_not(scene, engine):
    critical = "UPDATE message SET is_critical = 1, priority = 0, signed = :signed WHERE control_id = :control_id"
    row = (
        "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, is_move, decided, signed,"
        " is_critical) VALUES ('stu_c', 'rep_c', 'signed', '', 'ehr', 'waiting', 0, 1, 5, 1)"
    )
    await engine.do(lambda: ask(Statement(critical), signed=5, control_id="ID3"))
    await engine.do(lambda: ask(Statement(critical), signed=1, control_id="ID2"))
    await engine.do(lambda: ask(Statement(row)))
    found = await ledger.recent_critical(engine, "ehr", 4, 10)
    assert [(one.study_id, one.signed, one.answered) for one in found] == [("stu_b", 5, None), ("stu_c", 5, None)]
    assert await ledger.recent_critical(engine, "his", 4, 10) == []
