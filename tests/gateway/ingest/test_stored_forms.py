"""Warnings that stored resources have other URLs, dates or index rows than this release writes; decision D44."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.checks.database import database_findings
from gateway.ingest.stored_forms import differences, record, rendered_anew
from gateway.settings import load
from gateway.store.database import facts
from gateway.store.database.engine import Statement, ask

OTHER = "[fhir]\ncanonical = 'https://hospital.example/fhir'\n"
VALUES = {"INTEGER": "0", "BLOB": "x'00'"}
TOLD = [("canonical-of-other-settings", "https://autoscribe-gateway.example/fhir")]


@pytest.fixture
def opened(sqlite_engine, tmp_path):
    """Returns the warnings of a start with these settings."""

    def configuration(settings=""):
        file = tmp_path / "gateway.toml"
        file.write_text(f'[database]\nurl = "sqlite:///{sqlite_engine.path}"\n{settings}')
        return load(file)

    async def start(settings="", *, writes=True):
        with capture_logs() as logs:
            await record(sqlite_engine, configuration(settings), writes=writes)
        return [(one["event"], one["formerly"]) for one in logs]

    start.configuration = configuration
    return start


@pytest.fixture
async def study(sqlite_engine):
    """Returns a function that stores a study."""

    async def store():
        columns = await sqlite_engine.query("SELECT name, type FROM pragma_table_info('study') WHERE \"notnull\"", ())
        needed, values = zip(*[(name, VALUES.get(kind, "'x'")) for name, kind in columns], strict=True)
        sql = f"INSERT INTO study ({', '.join(needed)}) VALUES ({', '.join(values)})"
        await sqlite_engine.do(lambda: ask(Statement(sql)))

    return store


async def test_an_empty_database_takes_any_settings(opened, study):
    assert await opened() == []
    assert await opened(OTHER) == []
    await study()
    assert await opened(OTHER) == []


async def test_a_changed_canonical_is_told_at_each_start_until_all_is_rendered_anew(opened, study, sqlite_engine):
    await opened()
    await study()
    assert await opened() == []
    assert await opened(OTHER) == await opened(OTHER) == TOLD
    assert [str(one) for one in await differences(sqlite_engine, opened.configuration(OTHER))] == [
        "fhir.canonical: stored resources may have URLs of another base (https://autoscribe-gateway.example/fhir): "
        "after the start run rerender"
    ]
    await rendered_anew(sqlite_engine, opened.configuration(OTHER))
    assert await opened(OTHER) == []


async def test_to_go_back_to_the_former_canonical_is_told_if_anything_may_have_been_written_meanwhile(opened, study):
    await opened()
    await study()
    await opened(OTHER, writes=False)
    assert await opened() == []
    await opened(OTHER)
    assert await opened() == [("canonical-of-other-settings", "https://hospital.example/fhir")]


async def test_what_an_older_release_did_not_record_is_told_as_not_known(opened, study, sqlite_engine):
    await study()
    everything = ["index-of-another-zone", "index-of-an-older-release", "canonical-of-other-settings"]
    assert await opened() == await opened() == [(one, "unrecorded") for one in everything]
    assert await facts.value_of(sqlite_engine, facts.INDEX) != facts.INDEX_REVISION


async def test_check_config_tells_of_a_changed_canonical_and_records_nothing(opened, study):
    await opened()
    await study()
    said = [one async for one in database_findings(opened.configuration(OTHER))]
    assert len(said) == 1 and said[0].startswith("fhir.canonical: stored resources may have URLs of another base")
    assert await opened() == []
