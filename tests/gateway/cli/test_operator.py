"""Operator commands on a database: effects, output, exit codes (decisions D8, D11, D12)."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.commanded import STUDIES, Open, Site, sites
from fakes.databases import at_once
from fakes.feed_site import destination
from fakes.gateway_process import ran, site_file
from fakes.old_release import load
from fakes.store import rows
from fakes.taken_in import current

from gateway.cli import sync
from gateway.runtime import progress
from gateway.sandbox.receiver import MllpReceiver
from gateway.store.database.engine import Statement, ask
from gateway.store.database.kept import packed, served_version
from mappings.patient.identifiers import fhir_id

_SPOIL = Statement("UPDATE study SET received = :received WHERE study_id = :study_id")


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Open]:
    """Opens a site with a sandbox that has these faults."""
    with sites(tmp_path, capsys) as opened:
        yield opened


def said(listed, changed):
    """Expected output of `sync` if all studies could be read."""
    missing = "0 that are stored were not listed"
    return f"{listed} studies listed: {changed} were new or changed, 0 could not be read; {missing}\n"


async def test_a_sync_takes_in_all_there_is_and_the_next_one_what_changed(site):
    async with site() as here:
        code, out, err = await here.run("sync")
        assert (code, out) == (0, said(STUDIES, STUDIES))
        assert await here.query("SELECT count(*) FROM study") == [(STUDIES,)]
        said_first = next(line for line in err.splitlines() if not line.startswith("{"))
        assert re.fullmatch(r"In \d+ studies AutoScribe has what the settings do not know:", said_first)
        here.account.sign_new()
        code, out, _ = await here.run("sync", "--once")
        assert (code, out) == (0, said(STUDIES + 1, 1))


async def test_a_sync_that_could_not_take_in_everything_says_so_and_exits_1(site):
    async with site("non-json:path=/reports") as here:
        code, out, err = await here.run("sync")
        assert code == 1
        assert f"{STUDIES} studies listed: 0 were new or changed, {STUDIES} could not be read" in out
        assert "upstream-not-understood" in err


async def test_an_autoscribe_that_refuses_the_key_ends_a_sync_with_what_to_do(site):
    async with site() as here:
        code, out, err = await here.run("sync", AVARA_API_KEY="wrong")
        assert (code, out) == (1, "")
        assert "GET /studies: upstream-key-refused, status 401" in err
        assert "it needs the study scope All" in err
        assert "wrong" not in err


@pytest.mark.parametrize(
    "command",
    [
        ("sync",),
        ("rerender",),
        ("identity", "list"),
        ("identity", "link", "pat-1", "stu_1", "--reason", "r"),
        ("identity", "separate", "pat-1", "stu_1", "--reason", "r"),
    ],
    ids=" ".join,
)
async def test_without_a_site_key_nothing_is_written(site, command):
    """Patient ids made with the published key would be in the database for good."""
    async with site() as here:
        code, out, err = await here.run(*command, GATEWAY_MAPPING__SITE_KEY="")
        assert (code, out) == (2, "")
        assert "mapping.site_key: missing, or the published demo key" in err
        assert not here.database.exists()


async def test_a_database_of_another_site_is_refused(site):
    async with site() as here:
        assert (await here.run("identity", "list"))[0] == 0
        for command in (("sync",), ("rerender",), ("identity", "list")):
            code, out, err = await here.run(*command, GATEWAY_MAPPING__SITE_KEY="6b" * 32)
            assert (code, out) == (2, "")
            assert "mapping.site_key: not the one of this database" in err


def old_database(request, tmp_path, store):
    """Return the URL of a database as a gateway from before release 1.0.0 left it: only its revision matters."""
    revision = "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('0028')"
    if store == "sqlite":
        at_once(load(url := f"sqlite:///{tmp_path / 'old.db'}", revision))
    else:
        at_once(load(url := request.getfixturevalue("postgres_database"), f"DROP TABLE alembic_version; {revision}"))
    return url


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_database_from_before_the_first_release_is_refused_with_what_to_do(request, site, tmp_path, store):
    url = old_database(request, tmp_path, store)

    async def refused() -> None:
        async with site() as here:
            said = [
                (2, *(await ran(["serve", "--port", "0"], os.environ | here.env | {"GATEWAY_DATABASE_URL": url}))),
                (1, *(await here.run("check-config", GATEWAY_DATABASE_URL=url))),
            ]
            commands = (("migrate",), ("sync",), ("feed", "status"))
            said += [(2, *(await here.run(*command, GATEWAY_DATABASE_URL=url))) for command in commands]
        for expected, code, _, err in said:
            assert code == expected
            assert "database.url: the database was made before release 1.0.0, and no release can" in err
            assert "Keep it, name a new, empty one, and set `start` of each destination to the time" in err

    at_once(refused())


async def test_migrate_says_where_the_database_was_and_is(site):
    async with site() as here:
        code, out, _ = await here.run("migrate")
        assert code == 0
        assert out.startswith("the database is at ")
        assert out.endswith(", it was at base\n")
        code, again, _ = await here.run("migrate")
        assert (code, again) == (0, out.partition(",")[0] + "\n")


async def test_a_database_that_cannot_be_reached_is_named_with_what_to_do(site):
    async with site() as here:
        nowhere = {"GATEWAY_DATABASE_URL": f"sqlite:///{here.folder}/nowhere/gateway.db"}
        for command in (("migrate",), ("sync",), ("identity", "list")):
            code, out, err = await here.run(*command, **nowhere)
            assert (code, out) == (1, "")
            assert "store-unavailable: there is no such folder or file: " in err
            assert "Check the folder in database.url" in err


async def test_a_changed_setting_makes_new_versions_when_it_is_rendered_anew_and_tells_nobody(site):
    async with site() as here:
        await here.run("sync")
        told = await here.query("SELECT count(*) FROM outbox")
        code, out, _ = await here.run("rerender")
        assert (code, out) == (0, f"{STUDIES} studies rendered anew, 0 new versions; nothing was sent\n")
        site_file(here.folder, send_drafts="true")
        code, out, _ = await here.run("rerender")
        assert code == 0
        assert f"{STUDIES} studies rendered anew, " in out
        assert " 0 new versions" not in out
        async with here.store() as engine:
            statuses = Counter(one["status"] for one in (await current(engine, "DiagnosticReport")).values())
        assert statuses["preliminary"] > 0
        assert await here.query("SELECT count(*) FROM outbox") == told


async def test_of_long_work_it_is_said_beside_its_output_how_far_it_is(site, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    async with site() as here:
        _, out, err = await here.run("sync")
        assert (len(out.splitlines()), f"sync: {STUDIES} studies, " in err) == (1, True)
        _, out, err = await here.run("sync")
        assert (len(out.splitlines()), f"sync: about 100 %, {STUDIES} of about {STUDIES} studies, " in err) == (1, True)
        _, out, err = await here.run("rerender")
        assert out == f"{STUDIES} studies rendered anew, 0 new versions; nothing was sent\n"
        assert f"rerender: 50 %, {STUDIES // 2} of {STUDIES} studies, " in err


async def test_settings_are_tried_out_on_request_and_what_is_wrong_with_the_world_exits_1(site):
    async with site() as here:
        code, out, err = await here.run("check-config", "--online")
        assert (code, "online: AutoScribe, its PDF store and the database answer as they should" in err) == (0, True)
        assert "expert: server.workers = 0 (default: not set)" in out
        code, _, err = await here.run("check-config", "--online", AVARA_API_KEY="wrong")
        assert code == 1
        assert "upstream-key-refused. Check AVARA_API_KEY" in err


async def test_a_sync_ends_with_what_the_settings_should_know_and_nothing_of_a_patient(site, monkeypatch):
    monkeypatch.setattr(sync, "_SAMPLED", STUDIES - 4)
    async with site() as here:
        file = here.folder / "gateway.toml"
        file.write_text(file.read_text().replace("Sandbox Lakeside Imaging", "Sandbox Lakeside Imagery"))
        code, out, err = await here.run("sync")
        assert (code, out) == (0, said(STUDIES, STUDIES))
        assert f"\nIn {STUDIES - 4} studies AutoScribe has" in err
        assert 'note: facility "Sandbox Lakeside Imaging" is in no [[mapping.facilities]]' in err
        assert 'did you mean "Sandbox Lakeside Imagery"?' in err
        pasted = err.partition("To paste, with what only the site knows filled in:\n")[2]
        file.write_text(file.read_text() + pasted)
        _, _, err = await here.run("sync")
        assert "is in no [[mapping.facilities]]" not in err
        assert "To paste" not in err
        for snapshot in (one["snapshotMetadata"] for listed in here.account.reports.values() for one in listed):
            for key in ("patientName", "mrn", "referringPhysicianName"):
                assert not snapshot.get(key) or snapshot[key] not in err


async def test_check_config_online_names_the_destinations_that_answer_and_what_the_settings_should_know(site):
    async with site() as here, MllpReceiver(port=0) as receiver:
        file = here.folder / "gateway.toml"
        file.write_text(file.read_text() + destination(receiver.port) + destination(9, "off", enabled="false"))
        code, _, err = await here.run("check-config", "--online")
        assert code == 0
        assert "online: AutoScribe, its PDF store, the database and ehr answer as they should\n" in err
        assert "studies AutoScribe has what the settings do not know:\nnote: " in err
        assert len(receiver.messages) == 0


async def test_a_study_that_cannot_be_read_any_more_is_named_and_the_others_are_rendered(site):
    async with site() as here:
        await here.run("sync")
        async with here.store() as engine:
            [(spoilt,)] = await rows(engine, "SELECT study_id FROM study ORDER BY study_id LIMIT 1")
            nothing = packed({"study": {}, "reports": [], "users": [], "users_asked": {}})
            await engine.do(lambda: ask(_SPOIL, study_id=spoilt, received=nothing))
        code, out, _ = await here.run("rerender")
        assert code == 1
        assert f"{spoilt} is left as it is: /" in out
        assert f"{STUDIES - 1} studies rendered anew" in out


async def test_what_an_older_release_stored_is_indexed_and_defined_anew_by_rerender_and_until_then_it_is_said(site):
    """The URLs of extensions change by the same command as the base of the definitions, and nothing is sent."""
    bodies = (
        "SELECT v.body, v.version, v.updated FROM version v JOIN resource r ON r.number = v.resource"
        " AND r.version = v.version"
    )
    async with site() as here:
        assert "index-of-an-older-release" not in (await here.run("sync"))[2]
        async with here.store() as engine:
            await engine.do(lambda: ask(Statement("DELETE FROM fact WHERE name = 'index'")))
        moved = {"GATEWAY_FHIR__CANONICAL": "https://hospital.example/own"}
        for _ in range(2):
            said = (await here.run("identity", "list", **moved))[2]
            assert "index-of-an-older-release" in said and "canonical-of-other-settings" in said
        owed = await here.query("SELECT count(*) FROM outbox"), await here.query("SELECT count(*) FROM message")
        before = sum(
            b"https://autoscribe-gateway.example/fhir/" in served_version(*row) for row in await here.query(bodies)
        )
        code, out, _ = await here.run("rerender", **moved)
        assert (code, f" {before} new versions" in out) == (0, True)
        after = b"".join(served_version(*row) for row in await here.query(bodies))
        assert before > STUDIES
        assert b"https://hospital.example/own/StructureDefinition/isAddendum" in after
        assert b"https://autoscribe-gateway.example/fhir/" not in after
        assert owed == (
            await here.query("SELECT count(*) FROM outbox"),
            await here.query("SELECT count(*) FROM message"),
        )
        said = (await here.run("identity", "list", **moved))[2]
        assert "index-of-an-older-release" not in said and "canonical-of-other-settings" not in said


async def test_dates_are_indexed_anew_in_another_zone_and_until_then_it_is_said(site):
    async with site() as here:
        assert "index-of-another-zone" not in (await here.run("sync"))[2]
        moved = {"GATEWAY_FHIR__TIME_ZONE": "Asia/Tokyo"}
        assert "index-of-another-zone" in (await here.run("identity", "list", **moved))[2]
        before = await here.query("SELECT resource, key, low FROM moment ORDER BY 1, 2, 3")
        code, out, _ = await here.run("rerender", **moved)
        assert (code, " 0 new versions" in out) == (0, True)
        assert await here.query("SELECT resource, key, low FROM moment ORDER BY 1, 2, 3") != before
        assert "index-of-another-zone" not in (await here.run("identity", "list", **moved))[2]


async def shared(here: Site) -> tuple[str, str, str]:
    """A patient of two studies, and the ids of these, the newer one first."""
    [(patient, *_)] = await here.query(
        "SELECT patient_id, count(*) FROM claim GROUP BY patient_id HAVING count(*) = 2 ORDER BY 1 LIMIT 1"
    )
    studies = await here.query(
        f"SELECT study_id FROM claim WHERE patient_id = '{patient}' ORDER BY study_date DESC, signed DESC"
    )
    return (patient, *(one for (one,) in studies))


async def subjects(here: Site, study: str) -> set[str]:
    """The patients that the reports and the study itself are of."""
    async with here.store() as engine:
        found = await current(engine)
    addresses = [f"ImagingStudy/{fhir_id(study)}"]
    addresses += [f"DiagnosticReport/{fhir_id(one['reportId'])}" for one in here.account.reports[study]]
    return {found[one]["subject"]["reference"] for one in addresses}


async def test_a_study_that_is_separated_gets_a_patient_of_its_own_until_it_is_linked_again(site):
    async with site() as here:
        await here.run("sync")
        patient, newer, older = await shared(here)
        told = await here.query("SELECT count(*) FROM outbox")
        assert await subjects(here, newer) == await subjects(here, older) == {f"Patient/{patient}"}

        code, out, _ = await here.run("identity", "separate", patient, newer, "--reason", "two people")
        assert (code, out.partition(":")[0]) == (0, f"{newer} is kept apart from Patient/{patient}")
        [own] = await subjects(here, newer)
        assert own != f"Patient/{patient}"
        assert await subjects(here, older) == {f"Patient/{patient}"}
        code, out, _ = await here.run("identity", "list")
        assert code == 0
        lines = [line.split("  ")[:3] for line in out.splitlines()]
        assert [f"Patient/{patient}", newer, "separate"] in lines
        assert lines[-1] == ["1 studies are held apart from a patient that they name"]

        code, out, _ = await here.run(
            "identity", "link", f"Patient/{patient}", fhir_id(newer), "--reason", "one after all"
        )
        assert (code, out.partition(":")[0]) == (0, f"{newer} belongs to Patient/{patient}")
        assert await subjects(here, newer) == {f"Patient/{patient}"}
        code, out, _ = await here.run("identity", "list")
        assert out.splitlines()[-1].startswith("0 studies")
        assert f"Patient/{patient}  {newer}  link  since " in out

        assert (await here.run("sync"))[1] == said(STUDIES, 0)
        assert await here.query("SELECT count(*) FROM outbox") == told
        assert await here.query("SELECT DISTINCT reason FROM verdict") == [("one after all",)]


async def test_a_verdict_about_what_is_not_there_is_refused_and_not_kept(site):
    async with site() as here:
        await here.run("sync")
        patient, study, _ = await shared(here)
        for wrong, message in (
            ((patient, "stu_" + "0" * 32), "no such study is stored"),
            (("pat-" + "0" * 32, study), "the study does not name this patient"),
        ):
            for verdict in ("link", "separate"):
                code, out, err = await here.run("identity", verdict, *wrong, "--reason", "r")
                assert (code, out) == (2, "")
                assert message in err
        assert await here.query("SELECT count(*) FROM verdict") == [(0,)]
        code, _, err = await here.run("identity", "link", patient, study)
        assert code == 2
        assert "--reason" in err


async def test_a_role_that_is_not_known_keeps_the_gateway_from_starting(site):
    async with site() as here:
        code, out, err = await here.run("serve", "--roles", "api, cook", "--port", "0")
        assert (code, out) == (2, "")
        assert "--roles: no role 'cook'. Roles are api, sync, feed, console." in err
