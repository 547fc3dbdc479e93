"""An erased patient is in none of the tables of orders any more, and somebody else's orders stay (D48, D49).

https://eur-lex.europa.eu/eli/reg/2016/679/oj (article 17)
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from fakes.hospital import SITE
from fakes.hospital_source import Hospital, hl7, merging, msh, ordering, visiting
from fakes.met import STUDY, carry_out, match_of, matching, read
from fakes.store import rows, tables_with
from fakes.taken_in import study_id

from gateway.cli import erasure
from gateway.cli.erasure import hospital_erasure
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.settings import survey
from gateway.store import erasing
from gateway.store.database.engine import micros
from gateway.store.erasing import ErasureOrder, NotErased
from gateway.store.orders.upkeep import HospitalChangedError
from gateway.store.studies.identities import decide

SOURCE = """
[[source]]
name = "city-his"
listen = "127.0.0.1:2601"
may = ["orders", "visits", "merges"]
facility = "City"
authorities = [
  {namespace = "CITY", system = "urn:oid:1.2.1"}, {namespace = "CITYVN", system = ""},
  {namespace = "CITYHIS", system = "urn:oid:1.2.3"}, {namespace = "CITYFILL", system = "urn:oid:1.2.4"},
  {namespace = "CITYRIS", system = "urn:oid:1.2.2"},
]
"""
HERS, OLD, OTHER = "CANARY77", "CANARY11", "KEPT5"
SAID = {"mrn": HERS, "patientName": "Canarygiven Canaryfamily"}
NAMED = (b"DOE^JANE", b"CANARYFAMILY^CANARYGIVEN")
KEYS = "SELECT key FROM study_key WHERE study_id = ? ORDER BY key"
STATES = "SELECT number, state, code, body IS NULL FROM inbound ORDER BY number"


@pytest.fixture
def configuration(tmp_path):
    """Return the settings of City's source and site."""
    path = tmp_path / "gateway.toml"
    path.write_text(SOURCE)
    found, faults = survey(path)
    assert found is not None, faults
    return replace(found, site=SITE)


@pytest.fixture
def his(engine):
    return Hospital(engine)


def hers(payload: bytes, visit: bytes = b"CANARYVISIT") -> bytes:
    return payload.replace(*NAMED).replace(b"V1^^^CITYVN", visit + b"^^^CITYVN")


def about(mrn: str = HERS, **said) -> bytes:
    """Write an order message of hers."""
    return hers(ordering(mrn=mrn, **said))


def of_another(type_code: bytes = b"MR", **said) -> bytes:
    message = ordering(**{"mrn": OTHER, "placer": "P5", "accession": "A5"} | said).replace(b"DOE^JANE", b"KEPT^ANN")
    return message.replace(b"^^^CITY^MR", b"^^^CITY^" + type_code).replace(b"V1^^^CITYVN", b"V5^^^CITYVN")


async def erase(engine, configuration, *study_ids, is_trial=False):
    hospital = await hospital_erasure(engine, configuration, study_ids)
    now = micros(clock.now())
    order = ErasureOrder(study_ids, "Patient/x", "asked", configuration.site.site_key, now, hospital)
    return await engine.do(partial(erasing.erase_studies, order, is_trial=is_trial))


async def numbers(his):
    """Return the placer order numbers that are known."""
    return sorted(stored.order.placer.value for stored in await his.orders())


async def test_nothing_that_a_hospital_sent_of_the_patient_is_left_also_of_what_is_not_applied(
    engine, his, configuration
):
    await his.sends(about(), about(placer="P9", accession="A9", control_id="2"))
    await his.sends(hers(visiting(mrn=HERS, control_id="3", minute=5)), merging(OLD, HERS, control_id="4"))
    await his.sends(about(placer="", accession="", control_id="5"), of_another(control_id="6"))
    await read(matching(engine), **SAID)
    assert (await match_of(engine))[0] == "matched"
    await his.stores(about(OLD, placer="P7", accession="A7", control_id="7"), of_another(control_id="8", minute=9))
    before = await tables_with(engine, "canary")
    assert before >= {"inbound", "hospital_order", "order_key", "visit", "number_change", "study_key"}
    with pytest.raises(NotErased) as trial:
        await erase(engine, configuration, STUDY, is_trial=True)
    assert (trial.value.counts.orders, trial.value.counts.received) == (2, 6)
    assert await tables_with(engine, "canary") == before
    counts = await erase(engine, configuration, STUDY)
    assert (counts.orders, counts.received) == (2, 6)
    assert await tables_with(engine, "canary") == set()
    assert await rows(engine, STATES) == [
        (1, "applied", "", 1),
        (2, "applied", "", 1),
        (3, "applied", "", 1),
        (4, "applied", "", 1),
        (5, "nothing", "erased", 1),
        (6, "applied", "", 0),
        (7, "nothing", "erased", 1),
        (8, "waiting", "", 0),
    ]
    assert await numbers(his) == ["P5"]
    assert len(await rows(engine, "SELECT DISTINCT key FROM visit")) == 1


async def test_a_message_that_comes_again_makes_no_order_of_an_erased_patient(engine, his, configuration):
    await his.sends(about())
    await read(matching(engine), **SAID)
    await erase(engine, configuration, STUDY)
    await his.sends(about())
    assert await his.orders() == []


async def test_a_message_that_arrives_once_the_messages_were_read_is_erased_too(engine, his, configuration):
    await his.sends(about(), of_another(control_id="2"))
    await read(matching(engine), **SAID)
    hospital = await hospital_erasure(engine, configuration, [STUDY])
    new = Hospital(engine, replace(his.source, order_source=replace(his.source.order_source, name="city-new")))
    await his.stores(about(placer="P7", accession="A7", control_id="3"), of_another(control_id="4", minute=9))
    await new.stores(about(placer="P8^CITYHIS", accession="", control_id="5"))
    order = ErasureOrder([STUDY], "Patient/x", "asked", SITE.site_key, micros(clock.now()), hospital)
    assert (await engine.do(partial(erasing.erase_studies, order, is_trial=False))).received == 3
    assert await tables_with(engine, "canary") == set()
    assert [state for _, state, *_ in await rows(engine, STATES)] == [
        "applied",
        "applied",
        "nothing",
        "waiting",
        "nothing",
    ]


async def test_nothing_is_erased_if_a_hospital_said_meanwhile_whose_earlier_messages_are(engine, his, configuration):
    await his.sends(about())
    await read(matching(engine), **SAID)
    await his.sends(about(OLD, placer="P7", accession="A7", control_id="2"))
    hospital = await hospital_erasure(engine, configuration, [STUDY])
    await his.sends(merging(OLD, HERS, control_id="3"))
    order = ErasureOrder([STUDY], "Patient/x", "asked", SITE.site_key, micros(clock.now()), hospital)
    with pytest.raises(HospitalChangedError):
        await engine.do(partial(erasing.erase_studies, order, is_trial=False))
    assert await numbers(his) == ["P1", "P7"]
    await erase(engine, configuration, STUDY)
    assert await tables_with(engine, "canary") == set()


@pytest.mark.parametrize("is_trial", [True, False])
async def test_an_erasure_that_a_hospital_overtook_is_tried_again_with_what_it_said_since(
    engine, his, configuration, monkeypatch, is_trial
):
    monkeypatch.setattr(erasure, "_PAUSE", 0)
    anew = partial(hospital_erasure, engine, configuration, [STUDY])
    await his.sends(about())
    await read(matching(engine), **SAID)
    await his.sends(about(OLD, placer="P7", accession="A7", control_id="2"))
    order = ErasureOrder([STUDY], "Patient/x", "asked", SITE.site_key, micros(clock.now()), await anew())
    await his.sends(merging(OLD, HERS, control_id="3"))
    if is_trial:
        with pytest.raises(NotErased) as trial:
            await erasure._carried_out(engine, order, anew, is_trial=True)
        counts = trial.value.counts
    else:
        counts = await erasure._carried_out(engine, order, anew, is_trial=False)
    assert (counts.studies, counts.orders, counts.received) == (1, 2, 3)
    assert (await tables_with(engine, "canary") == set()) is not is_trial


async def test_an_erasure_that_hospitals_overtake_again_and_again_erases_nothing(
    engine, his, configuration, monkeypatch
):
    monkeypatch.setattr(erasure, "_PAUSE", 0)
    monkeypatch.setattr(erasure, "_TRIES", 3)
    await his.sends(about())
    await read(matching(engine), **SAID)
    asked = []

    async def overtaken():
        found = await hospital_erasure(engine, configuration, [STUDY])
        placer = f"P{len(asked) + 2}"
        await his.sends(about(placer=placer, accession=placer, control_id=placer))
        asked.append(placer)
        return found

    order = ErasureOrder([STUDY], "Patient/x", "asked", SITE.site_key, micros(clock.now()), await overtaken())
    assert await erasure._carried_out(engine, order, overtaken, is_trial=False) is None
    assert await numbers(his) == ["P1", *asked]
    assert len(asked) == 4


async def test_with_one_study_of_several_the_orders_go_that_it_answered_alone(engine, his, configuration):
    pipeline = matching(engine)
    await his.sends(about(), about(placer="P2", accession="A2", control_id="2"), merging(OLD, HERS, control_id="3"))
    await read(pipeline, **SAID)
    await read(pipeline, "A2", digit="2", **SAID)
    await erase(engine, configuration, STUDY)
    await carry_out(engine, pipeline)
    assert await numbers(his) == ["P2"]
    assert [is_empty for *_, is_empty in await rows(engine, STATES)] == [1, 0, 0]
    assert await rows(engine, "SELECT study_id, verdict FROM order_match") == [(study_id("2"), "matched")]
    assert len(await rows(engine, "SELECT number FROM number_change")) == 1


async def test_a_visit_stays_as_long_as_an_order_is_of_that_visit(engine, his, configuration):
    pipeline = matching(engine)
    await his.sends(about(), about(placer="P2", accession="A2", control_id="2"))
    await read(pipeline, **SAID)
    await read(pipeline, "A2", digit="2", **SAID)
    await erase(engine, configuration, STUDY)
    assert len(await rows(engine, "SELECT DISTINCT key FROM visit")) == 1
    await erase(engine, configuration, study_id("2"))
    assert await rows(engine, "SELECT key FROM visit") == []


async def test_of_a_visit_number_that_another_patient_has_too_only_what_was_said_of_the_patient_goes(
    engine, his, configuration
):
    shared = hers(visiting(mrn=HERS, control_id="3", minute=5), b"V5")
    theirs = hl7(
        msh("ADT^A02", control_id="4", minute=6),
        f"PID|1||{OTHER}^^^CITY^MR||KEPT^ANN",
        f"PV1|1|I|W{'|' * 16}V5^^^CITYVN",
    )
    await his.sends(hers(ordering(mrn=HERS), b"V5"), of_another(control_id="2"), shared, theirs)
    assert (await his.states())[2:] == [("applied", "visit-of-other-patient")] * 2
    await read(matching(engine), **SAID)
    assert "visit" in await tables_with(engine, "canary")
    await erase(engine, configuration, STUDY)
    assert await tables_with(engine, "canary") == set()
    assert [int(inbound) for (inbound,) in await rows(engine, "SELECT inbound FROM visit ORDER BY inbound")] == [2, 4]


async def test_an_order_that_another_study_answers_too_stays(engine, his, configuration):
    pipeline = matching(engine)
    await his.sends(about())
    await read(pipeline, **SAID)
    await read(pipeline, digit="2", **SAID)
    assert {one for (one,) in await rows(engine, "SELECT verdict FROM order_match")} == {"matched"}
    await erase(engine, configuration, STUDY)
    assert await numbers(his) == ["P1"]
    assert [is_empty for *_, is_empty in await rows(engine, STATES)] == [0]


async def test_a_message_about_somebody_else_that_names_the_patient_loses_its_bytes_once_it_is_applied(
    engine, his, configuration
):
    both = hl7(of_another().decode().rstrip("\r"), f"PID|2||{HERS}^^^CITY^MR||CANARYFAMILY", "ORC|NW|P6", "OBR|1|P6")
    await his.sends(about(), both)
    await his.stores(both.replace(msh().encode(), msh(control_id="3").encode()))
    await read(matching(engine), **SAID)
    await erase(engine, configuration, STUDY)
    assert [(state, is_empty) for _, state, _, is_empty in await rows(engine, STATES)] == [
        ("applied", 1),
        ("held", 1),
        ("waiting", 0),
    ]
    assert await numbers(his) == ["P5"]


@pytest.mark.parametrize(("mrn", "type_code"), [(HERS, b"MR"), (HERS, b"PT"), ("777", b"MR")])
async def test_what_was_sent_of_another_patient_under_the_same_number_or_one_that_may_be_anybodys_stays(
    engine, his, configuration, mrn, type_code
):
    pipeline = matching(engine)
    ricks = partial(of_another, mrn=mrn, type_code=type_code)
    await his.sends(about(mrn))
    await read(pipeline, **SAID | {"mrn": mrn})
    await read(pipeline, "A2", digit="2", mrn=mrn, patientName="Rick Roe", dateOfBirth="1931-01-31", sex="male")
    for (patient_id,) in await rows(engine, "SELECT patient_id FROM conflict"):
        await decide(engine, patient_id, study_id("2"), "separate", "two people", clock.now())
        await carry_out(engine, pipeline)
    await his.sends(ricks(control_id="2"))
    await his.stores(ricks(control_id="3", minute=9))
    keys = await rows(engine, KEYS, study_id("2"))
    await erase(engine, configuration, STUDY)
    assert await numbers(his) == ["P5"]
    assert await rows(engine, STATES) == [(1, "applied", "", 1), (2, "applied", "", 0), (3, "waiting", "", 0)]
    assert await rows(engine, KEYS, study_id("2")) == keys


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_merge_message_with_a_group_of_somebody_else_is_left_until_it_is_applied(
    engine, his, configuration, is_first
):
    own = [f"PID|1||{HERS}^^^CITY^MR", f"MRG|{OLD}^^^CITY^MR"]
    others = [f"PID|1||{OTHER}^^^CITY^MR", "MRG|KEPT4^^^CITY^MR"]
    segments = [*own, *others] if is_first else [*others, *own]
    await his.sends(about())
    await read(matching(engine), **SAID)
    await his.stores(hl7(msh("ADT^A40", control_id="2"), *segments), merging(OLD, HERS, control_id="3"))
    await erase(engine, configuration, STUDY)
    assert await rows(engine, STATES) == [(1, "applied", "", 1), (2, "waiting", "", 0), (3, "nothing", "erased", 1)]
    await his.sends()
    assert ("KEPT4", OTHER) in await rows(engine, "SELECT prior, surviving FROM number_change WHERE held = ''")


async def test_a_held_merge_message_with_a_group_of_somebody_else_keeps_its_bytes_for_another_try(
    engine, his, configuration
):
    groups = [f"PID|1||{HERS}^^^CITY^MR", f"MRG|{OLD}^^^CITY^MR", f"PID|2||{OTHER}^^^CITY^MR"]
    await his.sends(about(), merging(OLD, HERS, control_id="2"), hl7(msh("ADT^A40", control_id="3"), *groups))
    await read(matching(engine), **SAID)
    await erase(engine, configuration, STUDY)
    settled = [(state, is_empty) for _, state, _, is_empty in await rows(engine, STATES)]
    assert settled == [("applied", 1), ("applied", 1), ("held", 0)]


async def test_a_held_merge_with_somebody_elses_number_is_settled_first(engine, his, configuration):
    await his.sends(about(), merging(OTHER, "KEPT6", control_id="2"), merging(OTHER, HERS, control_id="3"))
    await read(matching(engine), **SAID)
    with pytest.raises(ConfigError, match="a merge that is held ties"):
        await erase(engine, configuration, STUDY)
    assert await numbers(his) == ["P1"]
