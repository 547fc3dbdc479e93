"""An ingest reads one claim for each content about a patient (D12), however many studies there are."""

from __future__ import annotations

from random import Random

import pytest
from fakes.fhir_studies import report, snapshot
from fakes.store import rows
from fakes.taken_in import take

from gateway.store.database.engine import Statement, ask_each
from gateway.store.database.kept import decompressed
from gateway.store.studies.identities import CLAIMS, claims_about, claims_in_order, content_of

PATIENT = "pat-1"
_CLAIM = Statement(
    "INSERT INTO claim (patient_id, study_id, study_date, signed, body, content)"
    " VALUES (:patient_id, :study_id, :study_date, :signed, :body, :content)"
)
_VERDICT = Statement(
    "INSERT INTO verdict (patient_id, study_id, verdict, reason, decided, judged, reopened)"
    " VALUES (:patient_id, :study_id, :verdict, '', 0, :judged, :reopened)"
)


A, B, C = b'{"a":1}', b'{"b":1}', b'{"c":1}'


def claim(number, body, *, day="2024-01-01", signed=0, patient_id=PATIENT):
    """Return a claim as a row of the table."""
    values = (patient_id, f"stu_{number:04}", day, signed, body, content_of(body))
    return dict(zip(("patient_id", "study_id", "study_date", "signed", "body", "content"), values, strict=True))


def verdict(number, said="link", *, judged="", reopened=None):
    row = {"patient_id": PATIENT, "study_id": f"stu_{number:04}", "verdict": said}
    return {**row, "judged": judged, "reopened": reopened}


async def put(engine, claims, verdicts=()):
    def work():
        yield from ask_each(_CLAIM, claims)
        yield from ask_each(_VERDICT, verdicts)

    await engine.do(work)


async def found(engine, own="stu_none"):
    """Return study, content as text, and persons judged, of each claim that is read."""
    claims = claims_in_order(PATIENT, await engine.fetch(CLAIMS, patient_id=PATIENT, study_id=own))
    return [(study_id, decompressed(body)[2:3].decode(), judged) for _, study_id, _, _, body, judged in claims]


async def test_of_many_claims_of_one_content_the_newest_alone_is_read(engine):
    days = [claim(number, A, day=f"2024-01-{1 + number % 28:02}", signed=number) for number in range(100)]
    await put(engine, [*days, claim(200, B, day="2020-01-01"), claim(201, A, patient_id="pat-2", day="2030-01-01")])
    assert await found(engine) == [("stu_0083", "a", ""), ("stu_0200", "b", "")]


async def test_the_studys_own_claim_is_read_beside_the_newest_of_the_others(engine):
    await put(engine, [claim(1, A, day="2024-01-01"), claim(2, A, day="2024-02-01"), claim(3, A)])
    assert await found(engine, "stu_0002") == [("stu_0002", "a", ""), ("stu_0003", "a", "")]


async def test_a_claim_that_an_operator_linked_is_read_with_the_persons_judged_and_hides_no_other(engine):
    claims = [claim(number, A, day=f"2024-01-0{number}") for number in range(1, 7)]
    verdicts = [verdict(6, judged="x y"), verdict(5, "separate"), verdict(4, reopened=7)]
    await put(engine, claims, verdicts)
    assert await found(engine) == [("stu_0005", "a", ""), ("stu_0006", "a", "x y")]
    assert await found(engine, "stu_0006") == [("stu_0005", "a", ""), ("stu_0006", "a", "x y")]


@pytest.mark.parametrize("seed", range(6))
async def test_it_tells_the_same_as_all_claims_would(engine, seed):
    random = Random(seed)
    claims = [
        claim(
            number,
            random.choice([A, B, C]),
            day=random.choice(["", "2024-01-01", "2024-01-02"]),
            signed=random.randrange(3),
        )
        for number in range(30)
    ]
    linked = {f"stu_{number:04}": f"judged {number}" for number in random.sample(range(30), 6)}
    await put(engine, claims, [verdict(int(one[-4:]), judged=judged) for one, judged in linked.items()])
    own = random.choice(claims)["study_id"]
    read = claims_in_order(PATIENT, await engine.fetch(CLAIMS, patient_id=PATIENT, study_id=own))
    others = [one for one in claims if one["study_id"] != own]
    assert {(bytes(one[4]), one[5]) for one in read if one[1] != own} == {
        (one["body"], linked.get(one["study_id"], "")) for one in others
    }
    order = ("study_date", "signed", "study_id", "body")
    assert max((*one[2:4], one[1], bytes(one[4])) for one in read if one[1] != own) == max(
        tuple(one[name] for name in order) for one in others
    )
    assert [one[1] for one in read].count(own) == 1
    assert [one[1] for one in read] == sorted(one[1] for one in read)


async def test_patients_are_read_in_order(engine):
    await put(engine, [claim(1, B, patient_id="pat-2"), claim(1, A)])
    read = await engine.do(lambda: claims_about({"pat-2", "pat-1", "pat-3"}, "stu_none"))
    assert [(row[0], bytes(row[4])) for row in read] == [("pat-1", A), ("pat-2", B)]


async def test_the_studies_of_one_patient_are_read_as_one_claim_and_one_new(engine, pipeline):
    for digit in "123456789abc":
        await take(pipeline, report(digit, snapshotMetadata=snapshot(studyDate="2024-03-15")), digit=digit)
    [(patient_id, count)] = await rows(engine, "SELECT patient_id, count(*) FROM claim GROUP BY patient_id")
    assert count == 12
    assert len(claims_in_order(patient_id, await engine.fetch(CLAIMS, patient_id=patient_id, study_id="stu_none"))) == 1


async def test_a_study_that_says_something_else_has_another_digest(engine, pipeline):
    await take(pipeline, report("1"))
    [(before,)] = await rows(engine, "SELECT content FROM claim")
    await take(pipeline, report("1", snapshotMetadata=snapshot(patientName="Jane Maria Doe")))
    [(body, after)] = await rows(engine, "SELECT body, content FROM claim")
    assert before != after == content_of(decompressed(body))


async def test_sqlite_reads_no_other_claims_of_the_patient_on_the_way(sqlite_engine):
    await put(sqlite_engine, [claim(number, A) for number in range(50)])
    plan = await sqlite_engine.fetch(
        Statement(f"EXPLAIN QUERY PLAN {CLAIMS.sql}"), patient_id=PATIENT, study_id="stu_none"
    )
    searches = [str(step) for *_, step in plan if " c " in str(step)]
    assert searches
    assert [one for one in searches if "(patient_id=?)" in one or "SCAN" in one] == []
