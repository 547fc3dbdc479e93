"""A patient of whom hospitals' orders alone tell is erased by number, and nobody else is (D48, D49).

https://eur-lex.europa.eu/eli/reg/2016/679/oj (article 17)
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from fakes.hospital import SITE
from fakes.hospital_source import Hospital, merging, ordering, visiting
from fakes.merging import merge
from fakes.met import matching, read
from fakes.store import rows, tables_with

from gateway.cli.erasure import erasure_of_number
from gateway.ingest.orders.sources import authority_of
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.settings import survey
from gateway.store import erasing
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.erasing import ErasureOrder, NotErased

SOURCE = """
[[source]]
name = "city-his"
listen = "127.0.0.1:2601"
may = ["orders", "visits", "merges"]
facility = "City"
authorities = [
  {namespace = "CITY", system = "urn:oid:1.2.1"}, {namespace = "CITYVN", system = ""},
  {namespace = "CITYHIS", system = "urn:oid:1.2.3"}, {namespace = "CITYFILL", system = "urn:oid:1.2.4"},
  {namespace = "CITYRIS", system = "urn:oid:1.2.2"}, {namespace = "ELSE", system = "urn:oid:1.9.1"},
]
"""
HERS, OLD = "CANARY77", "CANARY11"


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
    return payload.replace(b"DOE^JANE", b"CANARYFAMILY^CANARYGIVEN").replace(b"V1^^^CITYVN", visit + b"^^^CITYVN")


async def erase(engine, configuration, text=HERS, *, is_trial=False):
    hospital = await erasure_of_number(engine, configuration, text)
    order = ErasureOrder((), "Patient/x", "asked", configuration.site.site_key, micros(clock.now()), hospital)
    return await engine.do(partial(erasing.erase_studies, order, is_trial=is_trial))


async def numbers(his):
    return sorted(stored.order.placer.value for stored in await his.orders())


@pytest.mark.parametrize("text", [HERS, f"{HERS}^^^CITY", OLD])
async def test_all_that_a_hospital_sent_of_the_patient_goes_and_that_of_others_stays(engine, his, configuration, text):
    await his.sends(hers(ordering(mrn=HERS)), hers(visiting(mrn=HERS, control_id="2", minute=5)))
    await his.sends(hers(ordering(mrn=OLD, placer="P7", control_id="3")), merging(OLD, HERS, control_id="4"))
    await his.sends(ordering(placer="P5", accession="A5", control_id="5"))
    await his.stores(hers(ordering(mrn=HERS, placer="P8", accession="A8", control_id="6")))
    before = await tables_with(engine, "canary")
    assert before >= {"inbound", "hospital_order", "order_key", "visit", "number_change"}
    with pytest.raises(NotErased):
        await erase(engine, configuration, text, is_trial=True)
    assert await tables_with(engine, "canary") == before
    counts = await erase(engine, configuration, text)
    assert (counts.studies, counts.orders, counts.received) == (0, 2, 5)
    assert await tables_with(engine, "canary") == set()
    assert await numbers(his) == ["P5"]
    assert ("patients-erase", "asked") in await rows(engine, "SELECT verb, reason FROM audit")
    with pytest.raises(ConfigError, match="no stored study describes this patient, and no order"):
        await erase(engine, configuration, text)


async def test_a_patient_of_whom_only_a_message_tells_that_is_not_applied_is_erased_by_number_and_authority(
    engine, his, configuration
):
    await his.stores(hers(ordering(mrn=HERS)))
    with pytest.raises(ConfigError, match="no order"):
        await erase(engine, configuration)
    assert (await erase(engine, configuration, f"{HERS}^^^CITY")).received == 1
    await his.sends()
    assert await his.orders() == []


async def test_a_number_of_two_authorities_is_erased_under_the_one_that_is_written(engine, his, configuration):
    elsewhere = ordering(mrn=HERS, placer="P5", accession="A5", control_id="2").replace(b"^^^CITY^MR", b"^^^ELSE^MR")
    authorities = (*his.source.rules.authorities, authority_of("ELSE", "urn:oid:1.9.1"))
    source = replace(his.source, rules=replace(his.source.rules, authorities=authorities))
    await his.sends(hers(ordering(mrn=HERS)))
    await Hospital(engine, source).sends(elsewhere)
    with pytest.raises(ConfigError, match="several authorities have given out this number"):
        await erase(engine, configuration)
    await erase(engine, configuration, f"{HERS}^^^CITY")
    assert await numbers(his) == ["P5"]


async def of_else(engine, his):
    """Store an order, a merge and a message that is not applied under an authority that no facility has."""
    authorities = (*his.source.rules.authorities, authority_of("ELSE", "urn:oid:1.9.1"))
    other = Hospital(engine, replace(his.source, rules=replace(his.source.rules, authorities=authorities)))
    sent = (hers(ordering(mrn=HERS)), merging(OLD, HERS, control_id="2"), hers(visiting(mrn=HERS, control_id="3")))
    await other.sends(*[one.replace(b"^^^CITY^MR", b"^^^ELSE^MR") for one in sent])
    return other


def without_else(configuration, tmp_path):
    """Return the settings once the authority has left them, alone or with its source."""
    yield configuration
    for text in (SOURCE.replace(', {namespace = "ELSE", system = "urn:oid:1.9.1"}', ""), ""):
        (tmp_path / "gateway.toml").write_text(text)
        found, faults = survey(tmp_path / "gateway.toml")
        assert found is not None, faults
        yield replace(found, site=SITE)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["as before", "without the authority", "without the source"])
@pytest.mark.parametrize("text", [HERS, f"{HERS}^^^ELSE", f"{HERS}^^^urn:oid:1.9.1", OLD])
async def test_a_patient_is_found_by_number_once_its_authority_or_its_source_has_left_the_settings(
    engine, his, configuration, tmp_path, text, place
):
    await of_else(engine, his)
    await his.sends(ordering(placer="P5", accession="A5", control_id="5"))
    *_, settings = [one for _, one in zip(range(place + 1), without_else(configuration, tmp_path), strict=False)]
    assert (await erase(engine, settings, text)).orders == 1
    assert await tables_with(engine, "canary") == set()
    assert await numbers(his) == ["P5"]


async def test_a_number_of_which_only_a_merge_is_left_is_erased_also_under_a_former_authority(
    engine, his, configuration
):
    await his.sends(merging(OLD, HERS))
    await engine.do(lambda: ask(Statement("UPDATE inbound SET body = NULL")))
    await merge(engine, OLD, HERS, "urn:oid:1.2.11")
    with pytest.raises(ConfigError, match="several authorities have given out this number"):
        await erase(engine, configuration)
    await erase(engine, configuration, f"{HERS}^^^urn:oid:1.2.11")
    assert await tables_with(engine, "canary") == {"number_change"}
    await erase(engine, configuration)
    assert await tables_with(engine, "canary") == set()


@pytest.mark.parametrize("text", ["^^^CITY", " - ^^^CITY", f"{HERS}^^^NOWHERE"])
async def test_without_a_number_or_with_an_authority_that_nothing_names_nobody_is_meant(
    engine, his, configuration, text
):
    await his.sends(ordering(mrn=HERS))
    with pytest.raises(ConfigError, match="no stored study describes this patient, and no order"):
        await erase(engine, configuration, text)


async def test_a_number_that_a_study_has_is_not_that_of_a_patient_of_orders_alone(engine, his, configuration):
    await his.sends(hers(ordering(mrn=HERS, accession="A9")))
    await read(matching(engine), mrn=HERS, patientName="Canarygiven Canaryfamily")
    with pytest.raises(ConfigError, match="this study has the number, or may have it, or read orders under it"):
        await erase(engine, configuration)
    assert await numbers(his) == ["P1"]


async def test_a_number_that_was_merged_with_that_of_a_study_erases_no_orders_alone(engine, his, configuration):
    await his.sends(hers(ordering(mrn=OLD, accession="A9")))
    await read(matching(engine), mrn=HERS, patientName="Canarygiven Canaryfamily")
    await his.sends(merging(OLD, HERS, control_id="2"))
    with pytest.raises(ConfigError, match="this study has the number, or may have it, or read orders under it"):
        await erase(engine, configuration, OLD)
    assert await numbers(his) == ["P1"]


async def test_a_number_under_which_two_people_have_orders_erases_nobody(engine, his, configuration):
    other = ordering(mrn=HERS, placer="P5", accession="A5", control_id="2")
    other = other.replace(b"DOE^JANE||19850720|F", b"ROE^RICK||19310131|M")
    await his.sends(hers(ordering(mrn=HERS)), other)
    with pytest.raises(ConfigError, match="orders of two people have this number"):
        await erase(engine, configuration)
    assert await numbers(his) == ["P1", "P5"]


async def test_a_number_that_may_be_anybodys_erases_nobody(engine, his, configuration):
    await his.sends(ordering(mrn="777"))
    with pytest.raises(ConfigError, match="may be anybody's"):
        await erase(engine, configuration, "777")
    assert await numbers(his) == ["P1"]


async def test_a_held_merge_with_somebody_elses_number_is_settled_first(engine, his, configuration):
    await his.sends(hers(ordering(mrn=HERS)), merging("KEPT5", "KEPT6", control_id="2"))
    await his.sends(merging("KEPT5", HERS, control_id="3"))
    with pytest.raises(ConfigError, match="a merge that is held ties"):
        await erase(engine, configuration)
