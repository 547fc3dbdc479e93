"""Organizations of facilities by name; decisions D11 and D41."""

from __future__ import annotations

import json
from datetime import UTC

from fakes.store import made, write

from gateway.index.extract import rows
from gateway.store.studies.identities import organizations_named


def organization(number, name, *alias):
    resource = {"resourceType": "Organization", "id": f"org-{number}", "name": name, "alias": list(alias)}
    tail = b'},"name":' + json.dumps(name).encode() + b',"alias":' + json.dumps(alias).encode() + b"}"
    return made(f"Organization/org-{number}", tail=tail, terms=rows(resource, UTC).terms)


async def test_names_and_aliases_match_without_case_and_doubled_blanks_and_as_a_whole_alone(engine):
    await write(
        engine,
        organization(1, "City Hospital", "CH", "Clínica"),
        organization(2, "CITY HOSPITAL"),
        organization(3, "New City Hospital"),
        organization(4, "City Hospital West"),
        organization(5, "Clinica"),
    )
    assert await organizations_named(engine, ["city  hospital"]) == {
        "Organization/org-1": "city hospital",
        "Organization/org-2": "city hospital",
    }
    assert set(await organizations_named(engine, ["ch", "New City Hospital"])) == {
        "Organization/org-1",
        "Organization/org-3",
    }
    assert set(await organizations_named(engine, ["clínica"])) == {"Organization/org-1"}
    assert await organizations_named(engine, ["Hospital", "", " ", "City"]) == {}
    assert await organizations_named(engine, []) == {}
