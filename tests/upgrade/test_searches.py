"""https://hl7.org/fhir/R4/search.html#Warnings: searches in a database of an earlier release, before `rerender`.

Each parameter whose index rows `rerender` changes is searched with a warning until then (decision D43).
"""

from collections import defaultdict

import pytest
from fakes.gateway_process import environment, ran
from fakes.old_release import PORTS, WEBHOOK_KEY, load, old_releases, query

from gateway.fhir_api.search.search_query import Query
from gateway.fhir_api.search.unindexed import unindexed
from gateway.index.parameter_lookup import OWN_COLUMNS, PARAMETERS
from gateway.store.database.sqlite import Sqlite
from gateway.store.studies.short_values import short_value

RELEASES = [one for one in old_releases() if one.store == "sqlite"]
# Every search that US Core asks a server of reports for uses some of these; nothing about them has changed
UNCHANGED = {("DiagnosticReport", name) for name in ("patient", "category", "code", "date", "status", "identifier")}
TERMS = "SELECT r.address, t.key, t.value FROM term t JOIN resource r ON t.resource IN (r.number, r.term_set)"
MOMENTS = "SELECT r.address, t.key, t.low FROM moment t JOIN resource r ON t.resource = r.number"


@pytest.fixture(params=RELEASES, ids=[one.name for one in RELEASES])
async def old(request, tmp_path):
    """The file of a migrated database of an earlier release, and the environment of the commands."""
    file = tmp_path / "gateway.db"
    await load(f"sqlite:///{file}", request.param.sql)
    for name, text in request.param.account["beside"].items():
        (tmp_path / name).write_text(text)
    config = tmp_path / "gateway.toml"
    config.write_text(request.param.settings({name: number for number, name in enumerate(PORTS, 2)}))
    env = environment("http://127.0.0.1:9", f"sqlite:///{file}", config, AVARA_WEBHOOK_KEY=WEBHOOK_KEY)
    code, _, said = await ran(["migrate"], env)
    assert code == 0, said
    return file, env


async def indexed(file):
    """Return the values of each index key, each with the address of its resource, in their short form."""
    found = defaultdict(set)
    for sql in (TERMS, MOMENTS):
        for address, key, value in await query(f"sqlite:///{file}", sql):
            found[key].add((address, short_value(key, value) if isinstance(value, str) else value))
    return found


def answers(index):
    """Return what each parameter finds by each modifier: values with addresses, or addresses alone for `:missing`."""
    found = {}
    for row in PARAMETERS:
        if row.name in OWN_COLUMNS:
            continue
        of_row = found[row.resource_type, row.name, ""] = index[row.key]
        for modifier in row.modifiers:
            rows = index[row.key_with(modifier)] or (of_row if modifier in {"not", "contains"} else set())
            if modifier == "missing":
                rows = {address for address, _ in of_row | rows}
            found[row.resource_type, row.name, modifier] = rows
    return found


async def warned(file):
    """Return the parameters and modifiers that a search warns of."""
    engine = Sqlite(file)
    async with engine.opened():
        return {
            (kind, name, modifier)
            for kind, name, modifier in answers(defaultdict(set))
            if await unindexed(engine, Query(kind, used=[(f"{name}:{modifier}" if modifier else name, "")]))
        }


async def test_each_parameter_that_finds_other_resources_after_rerender_is_searched_with_a_warning_until_then(old):
    file, env = old
    before, said_before = answers(await indexed(file)), await warned(file)
    code, _, said = await ran(["rerender"], env)
    assert code == 0, said
    after = answers(await indexed(file))
    changed = {asked for asked, found in after.items() if found != before[asked]}
    assert changed - said_before == set()
    assert any(after.values())
    assert not {(kind, name) for kind, name, _ in said_before} & UNCHANGED
    assert await warned(file) == set()
