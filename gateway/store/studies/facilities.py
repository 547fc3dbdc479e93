"""Find the Organizations of facilities by name, as the index has them.

Carries out no clause of a standard; decisions D11 (names match without case and doubled blanks) and D41.
Proved by tests/contract/test_facilities.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from gateway.index.keys import key
from gateway.index.terms import words
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement
from gateway.store.studies.search import version_of
from mappings.profile.spelling import exact

_NAME: Final = key("Organization", "name")
# The index has the rest of a name from each word on, and no accents: the names themselves are compared afterwards
_NAMED: Final = Statement(
    "SELECT DISTINCT r.address, v.version, v.updated, v.body FROM term t CROSS JOIN resource r CROSS JOIN version v"
    " WHERE t.key = :key AND t.value IN listed(:names) AND r.number = t.resource"
    " AND v.resource = r.number AND v.version = r.version"
)


async def organizations_named(engine: Engine, facilities: Iterable[str]) -> dict[str, str]:
    """Return the addresses of the Organizations that have one of these names, or it as alias: each with that name.

    Names are compared, and returned, in the form of `exact`.
    """
    wanted = {exact(one) for one in facilities} - {""}
    found = {}
    for row in await engine.fetch(_NAMED, key=_NAME, names=json.dumps(sorted(map(words, wanted)))):
        version = version_of(*row)
        organization = version.resource
        names = map(exact, (organization.get("name"), *organization.get("alias", ())))
        if is_called := wanted.intersection(names):
            found[version.address] = min(is_called)
    return found
