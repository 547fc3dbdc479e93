"""`patients erase` and `patients readmit`: whose data go, what is refused, and what is said (exit codes too)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import facade
from fakes.audited import entries
from fakes.commanded import Open, Site, sites
from fakes.hospital import number, order, patient
from fakes.merging import knowing, merge
from fakes.moving import FACILITY

from gateway.cli import erasure
from gateway.index.keys import SEPARATOR, key
from gateway.ingest.orders.rekeying import OrderKeys
from gateway.ingest.orders.sources import sources_of
from gateway.settings import survey
from gateway.store.database.engine import Statement, ask
from gateway.store.orders.hospital import put_order
from gateway.store.orders.numbers import keys_of
from mappings.hospital.authorities import Authorities, OrderSource
from mappings.profile import AssigningAuthority

NUMBER_OF = (
    "SELECT c.patient_id, count(*) FROM claim c WHERE NOT EXISTS (SELECT 1 FROM claim o WHERE o.study_id = c.study_id"
    " AND o.patient_id <> c.patient_id) GROUP BY c.patient_id ORDER BY 2 DESC, 1"
)
CLAIM = (
    "INSERT INTO claim (patient_id, study_id, study_date, signed, body, content)"
    " VALUES (:one, :study, '', 0, x'7b7d', '')"
)
CONFLICT = "INSERT INTO conflict (patient_id, study_id, since) VALUES (:one, :study, 1)"
IN_HAND = (
    "INSERT INTO message (outbox, is_whole, is_draft, is_critical, priority, size, attempts, doubts, due, made,"
    " destination, study_id, report_id, kind, content_version, control_id, restates, filler_order_numbers, report_ids,"
    " patient_id, state, reason, ack, has_body) VALUES (1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 'ehr', :study, 'rep', 'signed',"
    " '', 'ID', '', '[]', '[]', :one, 'sending', '', '', 0)"
)

SOURCE = """
[[source]]
name = "his"
listen = "127.0.0.1:2601"
may = ["orders"]
authorities = [{namespace = "ELSE", system = "urn:oid:1.9.1"}]
"""


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Open]:
    with sites(tmp_path, capsys) as opened:
        yield opened


async def patients(here: Site, text: str, *arguments: str, reason: str = "asked") -> tuple[int, str, str]:
    """Run `patients erase` with this text on standard input."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.StringIO(text))
        return await here.run("patients", "erase", *arguments, "--reason", reason)


async def synced(here: Site) -> tuple[str, list[str]]:
    """Read all studies; return a patient, and the studies of it."""
    assert (await here.run("sync"))[0] == 0
    [(patient_id, _), *_] = await here.query(NUMBER_OF)
    return patient_id, await studies_of(here, patient_id)


async def studies_of(here: Site, patient_id: str) -> list[str]:
    found = await here.query(f"SELECT study_id FROM claim WHERE patient_id = '{patient_id}' ORDER BY study_id")
    return [study_id for (study_id,) in found]


async def write(here: Site, sql: str, **values: str) -> None:
    async with here.store() as engine:
        await engine.do(lambda: ask(Statement(sql), **values))


async def test_without_yes_it_counts_and_with_yes_it_erases_and_the_next_sync_brings_nothing_back(site: Open) -> None:
    async with site() as here:
        patient_id, studies = await synced(here)
        stored = await here.query("SELECT count(*) FROM study")
        for more in ([], ["--dry-run"], ["--dry-run", "--yes"]):
            code, out, _ = await patients(here, f"Patient/{patient_id}\n", *more)
            assert (code, out.splitlines()[-1]) == (0, "nothing is erased yet: write --yes to erase it")
        assert await here.query("SELECT count(*) FROM study") == stored
        code, out, _ = await patients(here, f"{patient_id}\n", "--yes")
        assert (code, out.splitlines()[1 : 1 + len(studies)]) == (0, [f"  {one}" for one in studies])
        assert "not erased, since the gateway cannot reach it or must keep it: backups" in out
        code, out, _ = await here.run("sync")
        assert (code, ": 0 were new or changed, 0 could not be read" in out) == (0, True)
        assert await here.query("SELECT count(*) FROM study") == [(stored[0][0] - len(studies),)]
        assert await here.query("SELECT verb, reason FROM audit") == [("patients-erase", "asked")]
        code, out, err = await here.run("feed", "certificate", "--all")
        assert (code, out.splitlines()[-1]) == (0, "certified"), out + err


async def test_a_readmitted_study_is_read_by_the_next_sync(site: Open) -> None:
    async with site() as here:
        patient_id, studies = await synced(here)
        assert (await patients(here, patient_id, "--yes"))[0] == 0
        code, out, _ = await here.run("patients", "readmit", studies[0].replace("_", "-"), "--reason", "a mistake")
        assert (code, out.startswith(f"{studies[0]} is read again by the next crawl")) == (0, True)
        assert (await here.run("sync"))[0] == 0
        assert await studies_of(here, patient_id) == studies[:1]
        code, _, err = await here.run("patients", "readmit", studies[0], "--reason", "again")
        assert (code, "this study was not erased" in err) == (2, True)


async def test_a_number_finds_its_one_patient_and_is_never_repeated(site: Open) -> None:
    async with site() as here:
        _, studies = await synced(here)
        report = here.account.reports[studies[0]][0]
        number = report["snapshotMetadata"]["mrn"]
        code, out, err = await patients(here, f"{number}\n", "--yes")
        assert (code, [one.strip() for one in out.splitlines()[1 : 1 + len(studies)]]) == (0, studies), err
        assert number not in out + err
        assert number not in str(await here.query("SELECT * FROM audit"))
        code, out, err = await patients(here, f"{number}\n", "--yes")
        assert (code, "no stored study describes this patient" in err, number in err) == (2, True, False)


async def test_a_patient_known_by_orders_alone_is_erased_by_number_and_audited_without_it(site: Open) -> None:
    known = order(source=OrderSource("his", FACILITY), about=patient("CANARY4711"))
    keys = sorted(set(keys_of(known, Authorities(facade.site()))))
    async with site() as here:
        assert (await here.run("migrate"))[0] == 0
        async with here.store() as engine:
            await engine.do(lambda: put_order(None, known, keys, 5))
        await write(here, "INSERT INTO source (name, first_seen) VALUES (:name, 1)", name="his")
        code, out, err = await patients(here, "CANARY4711\n")
        assert (code, out.splitlines()[-1]) == (0, "nothing is erased yet: write --yes to erase it"), err
        assert "0 studies" in out
        assert "1 order, the bytes of 0 hospital messages" in out
        code, out, err = await patients(here, "CANARY4711\n", "--yes")
        assert code == 0, err
        assert await here.query("SELECT count(*) FROM hospital_order") == [(0,)]
        [(verb, target)] = await here.query("SELECT verb, argument FROM audit")
        assert (verb, "CANARY" in str(target)) == ("patients-erase", False)
        code, _, err = await patients(here, "CANARY4711\n", "--yes")
        assert (code, "no stored study describes this patient, and no order" in err) == (2, True)


async def ordered(here: Site, value: str, system: str) -> None:
    """Store an order under a number of this authority, as if a hospital had sent it after the studies were read."""
    known = order(source=OrderSource("his"), about=patient(number(value, uid=system.removeprefix("urn:oid:"))))
    keys = sorted(set(keys_of(known, Authorities(facade.site()))))
    async with here.store() as engine:
        await engine.do(lambda: put_order(None, known, keys, 5))
    await write(here, "INSERT INTO source (name, first_seen) VALUES (:name, 1)", name="his")


async def said_of(here: Site) -> tuple[str, AssigningAuthority, list[str]]:
    """Read all studies; return a patient's number with its authority, and the patient's studies."""
    _, studies = await synced(here)
    said = here.account.reports[studies[0]][0]["snapshotMetadata"]
    facility = facade.site().facility(said["facilityName"])
    assert facility is not None
    assert facility.mrn is not None
    return said["mrn"], facility.mrn, studies


async def test_nothing_is_erased_until_orders_and_merges_are_read_under_the_authorities_of_the_settings(
    site: Open,
) -> None:
    async with site() as here:
        value, authority, studies = await said_of(here)
        await ordered(here, value, authority.system)
        (here.folder / "gateway.toml").write_text(f"{(here.folder / 'gateway.toml').read_text()}{SOURCE}")
        for text, more in ((value, ()), (f"{value}^^^{authority.namespace}", ()), ("", ("--study", studies[0]))):
            code, _, err = await patients(here, text, "--yes", *more)
            assert (code, "not read anew yet under the authorities of these settings" in err) == (2, True), err
        found, faults = survey(here.folder / "gateway.toml")
        assert found is not None, faults
        [source] = sources_of(found)
        async with here.store() as engine:
            await OrderKeys(engine, Authorities(found.site), {source.stored_name: source.rules}).once()
        code, out, err = await patients(here, value, "--yes")
        assert (code, out.splitlines()[1 : 1 + len(studies)]) == (0, [f"  {one}" for one in studies]), err


@pytest.mark.parametrize("by", ["namespace", "system", "as compared"])
async def test_studies_that_were_read_before_the_first_order_go_by_number_and_authority(site: Open, by: str) -> None:
    async with site() as here:
        value, authority, studies = await said_of(here)
        await ordered(here, value, authority.system)
        assert await here.query("SELECT count(*) FROM study_key") == [(0,)]
        text = {"namespace": f"{value}^^^{authority.namespace}", "system": f"{value}^^^{authority.system}"}
        code, out, err = await patients(here, text.get(by, f"0{value.lower()}"), "--yes")
        assert (code, out.splitlines()[1 : 1 + len(studies)]) == (0, [f"  {one}" for one in studies]), err
        assert await here.query("SELECT count(*) FROM hospital_order") == [(0,)]


async def test_orders_of_a_number_that_the_patient_of_a_study_has_since_a_merge_are_not_erased_alone(
    site: Open,
) -> None:
    async with site() as here:
        value, authority, studies = await said_of(here)
        await ordered(here, value, authority.system)
        async with here.store() as engine:
            await merge(engine, f"{value}7", value, authority.system)
        code, _, err = await patients(here, f"{value}7^^^{authority.namespace}", "--yes")
        assert (code, "this study has the number, or may have it" in err, studies[0] in err) == (2, True, True), err
        assert await here.query("SELECT count(*) FROM hospital_order") == [(1,)]


async def test_a_merge_under_a_namespace_that_the_settings_named_later_is_not_erased_alone_while_a_study_has_the_number(
    site: Open,
) -> None:
    async with site() as here:
        value, authority, studies = await said_of(here)
        async with here.store() as engine:
            await merge(engine, f"{value}7", value, f"hd:{authority.namespace}&")
        await write(here, "INSERT INTO source (name, first_seen) VALUES (:name, 1)", name="adt")
        for typed in (value, f"{value}7"):
            code, _, err = await patients(here, f"{typed}^^^{authority.namespace}", "--yes")
            assert (code, "this study has the number, or may have it" in err) == (2, True), err
        assert (await patients(here, f"{value}^^^{authority.system}", "--yes"))[0] == 0
        assert await here.query(f"SELECT count(*) FROM study WHERE study_id = '{studies[0]}'") == [(0,)]
        assert (await patients(here, f"{value}^^^{authority.namespace}", "--yes"))[0] == 0
        assert await here.query("SELECT count(*) FROM number_change") == [(0,)]


async def test_the_number_of_a_study_under_another_authority_is_somebody_elses_and_under_one_unknown_may_not_be(
    site: Open,
) -> None:
    async with site() as here:
        value, authority, studies = await said_of(here)
        other = next(one.mrn for one in facade.site().facilities.values() if one.mrn not in {None, authority})
        await ordered(here, value, other.system)
        theirs = f"{value}{SEPARATOR}"
        unknown = f"UPDATE term SET value = '{theirs}urn:former' WHERE value = '{theirs}{authority.system}'"
        await write(here, unknown)
        code, _, err = await patients(here, f"{value}^^^{other.namespace}", "--yes")
        assert (code, "this study has the number, or may have it" in err) == (2, True), err
        await write(here, f"UPDATE term SET value = '{theirs}{authority.system}' WHERE value = '{theirs}urn:former'")
        assert (await patients(here, f"{value}^^^{other.namespace}", "--yes"))[0] == 0
        assert await here.query("SELECT count(*) FROM hospital_order") == [(0,)]
        assert await here.query(f"SELECT count(*) FROM study WHERE study_id = '{studies[0]}'") == [(1,)]


@pytest.mark.parametrize("by", ["old id", "old number", "number"])
async def test_a_patient_whom_a_merge_replaced_is_erased_with_the_surviving_one(site: Open, by: str) -> None:
    settings = facade.site()
    async with site() as here:
        patient_id, studies = await synced(here)
        said = here.account.reports[studies[0]][0]["snapshotMetadata"]
        authority = settings.facility(said["facilityName"])
        assert authority is not None
        assert authority.mrn is not None
        async with here.store() as engine:
            await merge(engine, said["mrn"], f"{said['mrn']}7", authority.mrn.system)
        with knowing(settings):
            assert (await here.run("rerender"))[0] == 0
        assert await studies_of(here, patient_id) == studies
        text = {"old id": patient_id, "old number": said["mrn"], "number": f"{said['mrn']}7"}[by]
        code, out, err = await patients(here, f"{text}\n", "--yes")
        assert (code, out.splitlines()[1 : 1 + len(studies)]) == (0, [f"  {one}" for one in studies]), err
        assert await studies_of(here, patient_id) == []
        assert await here.query(f"SELECT address FROM resource WHERE address = 'Patient/{patient_id}'") == []


async def test_a_number_of_several_patients_erases_nobody_and_names_their_ids(site: Open) -> None:
    async with site() as here:
        await synced(here)
        [(one, _), (other, _), *_] = await here.query(NUMBER_OF)
        identifier = key("Patient", "identifier")
        theirs = "SELECT t.value FROM term t JOIN resource r ON r.number = t.resource WHERE r.address ="
        [(value,), *_] = await here.query(
            f"{theirs} 'Patient/{one}' AND t.key = {identifier} AND t.value LIKE '%{SEPARATOR}%'"
        )
        add = f"INSERT INTO term SELECT number, {identifier}, :value FROM resource WHERE address = :address"
        await write(here, add, value=value, address=f"Patient/{other}")
        number = value.partition(SEPARATOR)[0]
        code, _, err = await patients(here, number, "--yes")
        assert (code, "several patients have this number" in err, one in err, other in err) == (2, True, True, True)
        assert await here.query("SELECT count(*) FROM erased") == [(0,)]


async def test_a_study_alone_is_erased_by_its_id(site: Open) -> None:
    async with site() as here:
        patient_id, studies = await synced(here)
        code, out, _ = await patients(here, "", "--study", studies[0], "--yes")
        assert (code, out.startswith("erased: 1 study, ")) == (0, True)
        assert await studies_of(here, patient_id) == studies[1:]
        assert await here.query("SELECT argument FROM audit") == [(studies[0],)]


@pytest.mark.parametrize(
    ("text", "arguments", "reason", "said"),
    [
        ("", (), "asked", "not exactly one line"),
        ("one\ntwo\n", (), "asked", "not exactly one line"),
        ("nobody\n", (), "asked", "no stored study describes this patient"),
        ("pat-" + "0" * 32, (), "asked", "no stored study describes this patient"),
        ("", ("--study", "stu_" + "0" * 32), "asked", "no such study is stored"),
        ("", ("--study", "%"), "asked", "not the id of a study"),
        ("nobody\n", (), "  ", "--reason: empty"),
    ],
)
async def test_what_names_nobody_is_refused(
    site: Open, text: str, arguments: tuple[str, ...], reason: str, said: str
) -> None:
    async with site() as here:
        code, _, err = await patients(here, text, *arguments, "--yes", reason=reason)
        assert (code, said in err) == (2, True), err


async def test_a_patient_whose_study_is_also_about_somebody_else_is_not_erased_in_one_go(site: Open) -> None:
    async with site() as here:
        patient_id, studies = await synced(here)
        await write(here, CLAIM, one="pat-other", study=studies[0])
        code, _, err = await patients(here, patient_id, "--yes")
        assert (code, "reports of this study are about somebody else too" in err, studies[0] in err) == (2, True, True)
        assert await studies_of(here, patient_id) == studies


async def test_while_a_study_is_held_apart_from_the_patient_and_undecided_nothing_is_erased(site: Open) -> None:
    async with site() as here:
        patient_id, studies = await synced(here)
        await write(here, CONFLICT, one=patient_id, study="stu_apart")
        code, _, err = await patients(here, patient_id, "--yes")
        assert (code, "stu_apart" in err, "nobody has decided yet" in err) == (2, True, True)
        assert await studies_of(here, patient_id) == studies


async def test_while_a_message_is_being_sent_it_waits_and_then_says_so(
    site: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site() as here:
        patient_id, studies = await synced(here)
        await write(here, IN_HAND, one=patient_id, study=studies[0])
        monkeypatch.setattr(erasure, "_TRIES", 2)
        monkeypatch.setattr(erasure, "_PAUSE", 0.01)
        code, out, _ = await patients(here, patient_id, "--yes")
        assert (code, out.startswith("nothing is erased: a message of it is being sent")) == (1, True)
        assert await studies_of(here, patient_id) == studies


def with_audit(here: Site) -> Path:
    """Have each command of the site noted in an audit; return its folder."""
    folder = here.folder / "audit"
    here.env |= {"GATEWAY_AUDIT__DIR": str(folder), "GATEWAY_AUDIT__SEAL_KEY": str(here.folder / "seal.pem")}
    return folder


@pytest.mark.parametrize("more", [(), ("--yes",)])
async def test_whose_data_are_counted_or_erased_is_in_the_sealed_audit_before(
    site: Open, more: tuple[str, ...]
) -> None:
    async with site() as here:
        patient_id, studies = await synced(here)
        number = here.account.reports[studies[0]][0]["snapshotMetadata"]["mrn"]
        folder = with_audit(here)
        assert (await patients(here, number, *more))[0] == 0
        begun, shown = entries(folder)
        assert (begun.kind, begun.route, begun.why) == ("act", "patients erase", "asked")
        assert (shown.request, shown.patients) == (begun.request, (patient_id,))
        assert shown.shown == tuple(f"ImagingStudy/{one.replace('_', '-')}" for one in studies)
        assert number.encode() not in b"".join(one.read_bytes() for one in folder.iterdir())


async def test_an_erasure_or_a_readmission_that_cannot_be_noted_is_not_carried_out(site: Open) -> None:
    async with site() as here:
        patient_id, studies = await synced(here)
        assert (await patients(here, "", "--study", studies[0], "--yes"))[0] == 0
        with_audit(here).write_text("no folder")
        assert (await patients(here, patient_id, "--yes"))[0] == 2
        assert (await here.run("patients", "readmit", studies[0], "--reason", "a mistake"))[0] == 2
        assert await studies_of(here, patient_id) == studies[1:]
        assert await here.query("SELECT count(*) FROM erased") == [(1,)]


async def test_the_ids_of_all_patients_of_a_number_are_noted_before_they_are_said(site: Open) -> None:
    async with site() as here:
        await synced(here)
        [(one, _), (other, _), *_] = await here.query(NUMBER_OF)
        identifier = key("Patient", "identifier")
        add = f"INSERT INTO term SELECT number, {identifier}, :value FROM resource WHERE address = :address"
        for patient_id in (one, other):
            await write(here, add, value=f"number-of-two{SEPARATOR}urn:two", address=f"Patient/{patient_id}")
        folder = with_audit(here)
        code, _, err = await patients(here, "number-of-two")
        assert (code, one in err, other in err) == (2, True, True)
        assert {one, other} == {patient_id for entry in entries(folder) for patient_id in entry.patients}
