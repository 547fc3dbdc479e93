"""One run makes certificates at a time, all processes see it and what it made, and an erasure ends it (D49, D53)."""

from __future__ import annotations

from functools import partial

from gateway.store import erasing
from gateway.store.feed.destinations import SILENT, CertificateRuns, renamed
from gateway.store.feed.leases import lock_destination

NAMED = {"destinations": [{"name": "ehr", "reports": [{"studyId": "stu_1"}]}]}
OTHER = {"destinations": [{"name": "pacs", "reports": []}]}


async def erase(engine, *study_ids):
    order = erasing.ErasureOrder(study_ids, "", "asked", b"key", 77)
    await engine.do(partial(erasing.erase_studies, order, is_trial=False))


async def test_one_run_goes_on_at_a_time_until_it_ends_or_its_process_is_silent(engine):
    runs = CertificateRuns(engine)
    assert await runs.run() is None
    began = await runs.begin("ehr", "local:ann", 1_000)
    assert (began, await runs.begin("", "local:bob", 1_001)) == (1_000, None)
    await runs.seen(began, 7, 70, 5_000)
    run = await runs.run()
    assert (run.wanted, run.asked_by, run.done, run.total, run.seen) == ("ehr", "local:ann", 7, 70, 5_000)
    assert run.goes_on(5_000 + SILENT)
    assert not run.goes_on(5_001 + SILENT)
    later = await runs.begin("", "local:bob", 5_001 + SILENT)
    assert later == 5_001 + SILENT
    assert not await runs.end(began, 9, {"ehr": NAMED})  # the silent one comes back
    assert await runs.stored(["ehr"]) == {}
    assert await runs.end(later, later + 4, {"ehr": NAMED, "pacs": OTHER})
    assert not (await runs.run()).goes_on(later + 4)
    assert await runs.stored(["ehr", "pacs", "lab"]) == {"ehr": later, "pacs": later}
    found = await runs.certificate("ehr")
    assert (found.asked_by, found.began, found.ended, found.document) == ("local:bob", later, later + 4, NAMED)


async def test_a_run_without_a_certificate_says_why_and_leaves_the_last_one(engine):
    runs = CertificateRuns(engine)
    await runs.end(await runs.begin("ehr", "local:ann", 1), 2, {"ehr": NAMED})
    await runs.end(await runs.begin("ehr", "local:ann", 3), 4, {}, "away")
    assert (await runs.run()).fault == "away"
    assert await runs.stored(["ehr"]) == {"ehr": 1}


async def test_an_erasure_deletes_the_certificates_that_name_the_study_and_ends_the_run(engine):
    runs = CertificateRuns(engine)
    await runs.end(await runs.begin("", "local:ann", 1), 2, {"ehr": NAMED, "pacs": OTHER})
    began = await runs.begin("", "local:ann", 3)
    await erase(engine, "stu_2")
    assert await runs.stored(["ehr", "pacs"]) == {"ehr": 1, "pacs": 1}
    await erase(engine, "stu_1")
    assert await runs.stored(["ehr", "pacs"]) == {"pacs": 1}
    assert not await runs.end(began, 4, {"ehr": NAMED})
    assert await runs.stored(["ehr", "pacs"]) == {"pacs": 1}
    assert (await runs.run()).fault == "studies were erased meanwhile"


async def test_a_certificate_follows_the_new_name_of_its_destination_unless_that_has_one(engine):
    runs = CertificateRuns(engine)
    for name in ("ehr", "lab"):
        await engine.do(partial(lock_destination, name))
    await runs.end(await runs.begin("", "local:ann", 1), 2, {"ehr": NAMED, "lab": NAMED, "new": OTHER})
    for old, new in (("ehr", "epic"), ("lab", "new")):
        await engine.do(partial(renamed, old, new, 9))
    assert set(await runs.stored(["ehr", "epic", "lab", "new"])) == {"epic", "new"}
    assert (await runs.certificate("new")).document == OTHER
