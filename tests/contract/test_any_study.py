"""Every study that the wire tables allow is ingested on both engines, and is read from the store unchanged."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path

import pytest
from fakes.fhir_studies import SITE
from fakes.scale import examples
from fakes.store import resource_of, rows
from fakes.taken_in import giving, outbox
from fakes.wire_strategies import studies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ingest import Fetched, Pipeline
from gateway.store.database.engine import Statement, ask, instant
from gateway.store.database.kept import Kept, kept, packed, unpacked
from gateway.store.database.schema import METADATA
from gateway.store.enrichment import StoredEnrichments
from mappings import decode
from mappings.life.changes import changes
from mappings.model import Facts, PdfFacts

GOLDEN = Path(__file__).parents[1] / "golden"
SLOW = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=examples(100)
)
whole = studies().filter(lambda said: said[0] is not None)
numbers = st.one_of(st.none(), st.text(max_size=10), st.sampled_from(("A-1", "a\0b", "\ud800")))


def emptied():
    """Empty the store."""
    for table in METADATA.tables.keys() - {"tick"}:
        yield from ask(Statement(f"DELETE FROM {table}"))


@pytest.mark.full
@SLOW
@given(whole, numbers)
async def test_any_study_is_taken_in_twice_is_the_same_and_is_rendered_anew_as_it_was(engine, said, accession):
    study, listed, users = said
    uid = study["studyInstanceUid"]
    await engine.do(emptied)
    pipeline = Pipeline(engine, SITE, UTC)
    await StoredEnrichments(engine).keep(uid, accession, accession, instant(1))
    fetched = Fetched(study, listed, users, 1)
    await pipeline.ingest(study["studyId"], giving(fetched))
    ((received,),) = await rows(engine, "SELECT received FROM study")
    assert unpacked(received)["study"] == study
    assert unpacked(received)["reports"] == listed
    told = await outbox(engine)
    assert (await pipeline.ingest(study["studyId"], giving(fetched))).change is None
    assert not (await pipeline.rerender(study["studyId"])).written
    assert await outbox(engine) == told
    bodies = await rows(
        engine,
        "SELECT r.address, v.version, v.updated, v.body FROM resource r JOIN version v ON v.resource = r.number"
        " AND v.version = r.version",
    )
    for address, version, updated, body in bodies:
        resource = resource_of(body, version, updated)
        assert f"{resource['resourceType']}/{resource['id']}" == address
        assert resource["meta"]["versionId"] == str(version)
    await StoredEnrichments(engine).keep(uid, "A-2", None, instant(2))
    assert await rows(engine, "SELECT argument FROM control") == [(study["studyId"],)]


sha1s = st.binary(min_size=20, max_size=20)
facts = st.builds(
    Facts,
    pdf=st.dictionaries(st.text(), st.builds(PdfFacts, st.integers(0, 2**40), sha1s, st.none() | st.binary())),
    accession_number=st.none() | st.text(),
    taken_patient_ids=st.frozensets(st.text()),
    decided_patient_ids=st.frozensets(st.text()),
    corrected=st.frozensets(st.text()),
    seen=st.lists(st.text()).map(tuple),
    filler_order_numbers=st.dictionaries(st.text(), st.lists(st.text()).map(tuple)),
)


@settings(max_examples=examples(150))
@given(studies(), studies(), facts, st.text())
def test_what_is_kept_of_any_study_comes_back_as_it_was(first, second, known, version):
    gone = decode(*second).reports
    one = Kept(decode(*first), version, Facts(**{**_fields(known), "gone": gone}))
    assert kept(packed(one)) == one


def test_what_is_kept_of_the_golden_studies_comes_back_as_it_was():
    for path in sorted(GOLDEN.glob("*/wire.json")):
        wire = json.loads(path.read_text())
        if "reportMetadata" not in wire:
            continue
        study = decode(wire, wire.get("reports", []), wire.get("users", []))
        change = changes(None, study, SITE)
        state = Kept(
            change.study, change.version, Facts(corrected=change.corrected, seen=change.seen, gone=change.gone)
        )
        assert kept(packed(state)) == state


def test_what_a_later_release_kept_beside_is_left_out():
    one = Kept(decode(None, {"reports": [], "studyId": "stu_" + "1" * 32, "studyInstanceUid": "1.2"}, []))
    later = {**unpacked(packed(one)), "new": 1}
    assert kept(packed(later)) == one


def _fields(known):
    return {name: getattr(known, name) for name in known.__dataclass_fields__}
