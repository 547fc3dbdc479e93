"""The service and the commands only open the store of this site (decision D11)."""

from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fakes.databases import Server
from fakes.store import rows
from fakes.taken_in import take
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.ingest.assembly import engine_of, opened_store, pipeline_of, site_key_version
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration, Database, Fhir, Pdf, Settings
from gateway.settings.old_names import OldName
from gateway.store.database.engine import Statement, ask
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from mappings.profile import Facility, Site

NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
PING = Statement("SELECT last FROM tick")


def configuration(url="sqlite:///gateway.db", site=None, **groups):
    given = {"database": Database(url=SecretStr(url)), "fhir": Fhir(), "pdf": Pdf(), **groups}
    return Configuration(Settings.model_construct(**given), site or Site(site_key=b"k" * 32), "test")


def test_the_engine_is_the_one_of_the_url():
    engine = engine_of(configuration("sqlite:////var/lib/gateway.db"))
    assert isinstance(engine, Sqlite)
    assert engine.path == Path("/var/lib/gateway.db")
    for scheme in ("postgresql", "postgres"):
        assert isinstance(engine_of(configuration(f"{scheme}://user:password@127.0.0.1/name")), Postgres)


def facilities(*zones):
    return Site(facilities={str(number): Facility(str(number), time_zone=zone) for number, zone in enumerate(zones)})


@pytest.mark.parametrize(
    ("zones", "named", "expected"),
    [
        ((), "", "UTC"),
        ((NEW_YORK,), "", "America/New_York"),
        ((NEW_YORK, NEW_YORK), "", "America/New_York"),
        ((NEW_YORK, CHICAGO), "", "UTC"),
        ((NEW_YORK, None), "", "UTC"),
        ((None,), "", "UTC"),
        ((NEW_YORK,), "Europe/Berlin", "Europe/Berlin"),
        ((NEW_YORK, CHICAGO), "America/Chicago", "America/Chicago"),
    ],
)
def test_a_date_without_a_zone_is_of_the_one_that_is_set_else_the_one_of_all_facilities(zones, named, expected):
    found = configuration(site=facilities(*zones), fhir=Fhir(time_zone=named)).zone
    assert str(found) == expected


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """Return the URL of a database without tables; once for SQLite, once for PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'gateway.db'}"
    else:
        server: Server = request.getfixturevalue("postgres_server")
        with server.database("template0") as made:
            yield made


async def test_a_store_is_made_when_it_is_opened_first_and_is_of_that_site_from_then_on(url):
    async with opened_store(configuration(url)) as engine:
        assert [tuple(row) for row in await engine.fetch(PING)] == [(0,)]
    other = replace(configuration(url), site=Site(site_key=b"x" * 32))
    with pytest.raises(ConfigError) as error:
        async with opened_store(other):
            pass
    assert (error.value.source, error.value.key) == ("test", "mapping.site_key")
    assert "xxxx" not in str(error.value)
    async with opened_store(configuration(url)) as engine:
        assert await engine.fetch(PING)


def keyed(url, key):
    return replace(configuration(url), site=Site(site_key=key))


@pytest.mark.parametrize(
    ("made_with", "other", "said"),
    [
        (
            b"v2." + b"k" * 64,
            b"v1." + b"k" * 64,
            "an older one: it has version 1, and the database was made with version 2",
        ),
        (b"v2." + b"k" * 64, b"x" * 32, "an older one: it has version 1, and the database was made with version 2"),
        (b"k" * 32, b"v3." + b"x" * 64, "a newer one: it has version 3, and the database was made with version 1"),
    ],
)
async def test_an_older_or_a_newer_site_key_is_refused_with_both_versions(url, made_with, other, said):
    async with opened_store(keyed(url, made_with)):
        pass
    with pytest.raises(ConfigError) as error:
        async with opened_store(keyed(url, other)):
            pass
    assert said in str(error.value)
    assert "kkkk" not in str(error.value) and "xxxx" not in str(error.value)
    async with opened_store(keyed(url, made_with)) as engine:
        assert await engine.fetch(PING)


async def test_a_database_of_a_release_before_versions_learns_the_one_of_its_key(url):
    statement = Statement("SELECT value FROM fact WHERE name = :name")
    async with opened_store(configuration(url)) as engine:
        await engine.do(lambda: ask(Statement("DELETE FROM fact WHERE name = :name"), name="site-key-version"))
    async with opened_store(configuration(url)) as engine:
        assert await engine.fetch(statement, name="site-key-version") == [("1",)]


@pytest.mark.parametrize("key", [b"v0.x", b"v.x", b"2.x", b"xv2.", b"v12345.x", b""])
def test_a_key_that_states_no_version_has_the_first(key):
    assert site_key_version(key) == 1


async def test_the_check_value_of_a_store_is_not_the_site_key(url):
    async with opened_store(configuration(url)) as engine:
        [(value,)] = await engine.fetch(Statement("SELECT value FROM fact WHERE name = :name"), name="site-key-check")
    assert len(value) == 64
    assert value != (b"k" * 32).hex()


async def test_a_command_may_work_on_the_file_that_a_service_serves_from(tmp_path):
    where = configuration(f"sqlite:///{tmp_path / 'gateway.db'}")
    async with opened_store(where, serves=True), opened_store(where) as engine:
        assert await engine.fetch(PING)
    async with opened_store(where, serves=True):
        with pytest.raises(ConfigError, match="another gateway serves from this file"):
            async with opened_store(where, serves=True):
                pass


@pytest.mark.parametrize(("ingest", "wanted"), [("fetch", 1), ("link", 0)])
async def test_pdfs_are_wanted_where_they_are_kept(sqlite_engine, ingest, wanted):
    await take(pipeline_of(configuration(pdf=Pdf(ingest=ingest)), sqlite_engine))
    assert await rows(sqlite_engine, "SELECT count(*) FROM pdf") == [(wanted,)]


async def test_the_service_warns_at_its_start_of_each_old_name_of_a_setting(tmp_path):
    where = configuration(f"sqlite:///{tmp_path / 'gateway.db'}", destination=())
    where = replace(where, old_names=(OldName("gateway.toml", "feed.hold", "feed.lease"),))
    with capture_logs() as lines:
        async with opened_store(where, serves=True):
            pass
    (said,) = (one for one in lines if one["event"] == "setting-renamed")
    assert (said["log_level"], said["formerly"], said["action"]) == ("warning", "feed.hold", "feed.lease")
