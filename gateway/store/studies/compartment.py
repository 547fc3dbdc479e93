"""Read the FHIR Patient compartment: a patient's resources, their Provenance, and the resources referred to.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html. Read in the order in which the resources were first stored,
which never changes: paging sees each resource once, and new ones come last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from typing import Final

from gateway.index.keys import key
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement
from gateway.store.studies.limited import Limits, limited, of_types
from gateway.store.studies.search import SECONDS, Version, in_turns, version_of
from mappings.fhir.resource_types import types_at

# First the members by their `patient`, then their Provenance, then the resources that all of them refer to
MEMBERS: Final = types_at("member")
REFERRED_TO: Final = types_at("referred")
TYPES: Final = (*types_at("patient"), *MEMBERS, *types_at("about"), *REFERRED_TO)
_KEYS: Final = {f"of_{kind}": key(kind, "patient") for kind in MEMBERS}
_TARGETS: Final = {f"target_of_{kind}": key(kind, "target") for kind in types_at("about")}
# The date of care of each member: that of its study, of an Encounter the time of the visit
CARE_DATES: Final = {
    "DiagnosticReport": "date",
    "ImagingStudy": "started",
    "Observation": "date",
    "DocumentReference": "period",
    "ServiceRequest": "occurrence",
    "Encounter": "date",
}
_PARTS: Final = {
    "{members}": ", ".join(f":{name}" for name in _KEYS),
    "{targets}": ", ".join(f":{name}" for name in _TARGETS),
    # `0` follows `/` in byte order
    "{referred}": " OR ".join(f"t.value > '{kind}/' AND t.value < '{kind}0'" for kind in REFERRED_TO),
}
# Left out of `own`: what has a date of care, and none within the bounds
_DURING: Final = (
    " AND NOT EXISTS (SELECT 1 FROM moment m WHERE m.resource = r.number AND m.key IN ({dates})"
    " AND (m.low >= :end OR m.high <= :start))"
).replace("{dates}", ", ".join(str(key(kind, CARE_DATES[kind])) for kind in MEMBERS))
_TEMPLATE: Final = (
    "WITH own AS (SELECT r.number FROM (SELECT t.resource AS number FROM term t WHERE t.key IN ({members})"
    " AND t.value = :patient) r WHERE 1 = 1{during}),"
    " about AS (SELECT o.number FROM own o UNION SELECT p.resource FROM own o CROSS JOIN resource r CROSS JOIN term p"
    " WHERE r.number = o.number AND p.key IN ({targets}) AND p.value = r.address"
    " UNION SELECT p.resource FROM term p WHERE p.key IN ({targets}) AND p.value = :patient"
    " UNION SELECT r.number FROM resource r WHERE r.address = :patient),"
    " whole AS (SELECT a.number FROM about a UNION SELECT r.number FROM about a CROSS JOIN term t CROSS JOIN resource r"
    " WHERE t.resource = a.number AND ({referred}) AND r.address = t.value)"
    " SELECT r.number, r.address, r.version, r.updated, r.owner, v.body FROM whole w CROSS JOIN resource r"
    " CROSS JOIN version v WHERE r.number = w.number AND r.number > :after AND r.type IN listed(:types)"
    " AND r.updated >= :since AND r.is_suppressed = :is_suppressed AND v.resource = r.number AND v.version = r.version"
    " ORDER BY r.number LIMIT :most"
)
_WHOLE: Final = reduce(lambda sql, part: sql.replace(*part), _PARTS.items(), _TEMPLATE)
COMPARTMENT: Final = Statement(_WHOLE.replace("{during}", ""))
COMPARTMENT_DURING: Final = Statement(_WHOLE.replace("{during}", _DURING))
# The same for a client with limits: each step goes over what it sees alone. What no study owns comes last, by address,
# and whatever its last change: when it was stored, and changed, may tell of studies that are hidden
_OF_LIMITED: Final = (
    "WITH own AS (SELECT r.number, r.address FROM term t CROSS JOIN resource r WHERE t.key IN ({members})"
    " AND t.value = :patient AND r.number = t.resource{limit}{during}),"
    " about AS (SELECT o.number FROM own o UNION SELECT r.number FROM own o CROSS JOIN term p CROSS JOIN resource r"
    " WHERE p.key IN ({targets}) AND p.value = o.address AND r.number = p.resource{limit}"
    " UNION SELECT r.number FROM term p CROSS JOIN resource r WHERE p.key IN ({targets}) AND p.value = :patient"
    " AND r.number = p.resource{limit} UNION SELECT r.number FROM resource r WHERE r.address = :patient{limit}),"
    " whole AS (SELECT a.number FROM about a UNION SELECT r.number FROM about a CROSS JOIN term t CROSS JOIN resource r"
    " WHERE t.resource = a.number AND t.key <> :apart AND ({referred}) AND r.address = t.value{limit}),"
    " placed AS (SELECT CASE WHEN r.owner = '' THEN :last ELSE r.number END AS place, r.number, r.address, r.version,"
    " r.updated, r.owner FROM whole w CROSS JOIN resource r WHERE r.number = w.number AND r.type IN listed(:types)"
    " AND (r.updated >= :since OR r.owner = '') AND r.is_suppressed = :is_suppressed)"
    " SELECT l.place, l.address, l.version, l.updated, l.owner, v.body FROM placed l CROSS JOIN version v"
    " WHERE (l.place > :after OR (l.place = :after AND l.address > :behind)) AND v.resource = l.number"
    " AND v.version = l.version ORDER BY l.place, l.address LIMIT :most"
)
_LIMITED: Final = reduce(lambda sql, part: sql.replace(*part), _PARTS.items(), _OF_LIMITED)
OF_LIMITED: Final = _LIMITED.replace("{during}", "")
OF_LIMITED_DURING: Final = _LIMITED.replace("{during}", _DURING)
_LAST: Final = 2**62
_MANAGING: Final = key("Patient", "organization")


async def compartment(  # noqa: PLR0913 (patient, selection, page and limits)
    engine: Engine,
    patient: str,
    *,
    types: Sequence[str],
    since: int,
    after: int,
    most: int,
    during: tuple[int, int] | None = None,
    suppressed: bool = False,
    behind: str = "",
    limits: Limits | None = None,
    follows_patient: bool = True,
) -> list[Version]:
    """Return resources of these types about a patient (`Patient/…`) numbered above `after`, at most `most`.

    Only resources stored at or after `since` (microseconds). With `during`, members whose date of care lies outside of
    this interval [low, high) are left out, and what only refers to these. Each one's `position` is its number. With
    `suppressed`, return the resources that are not served. `limits` are what the client sees; None: all. Then the page
    begins after the resource at the place `after` with the address `behind`. If not `follows_patient`, what the stored
    Patient refers to is not reached by it.

    Raises:
        StoreTooSlow: the query took too long.
    """
    values = {
        **_KEYS,
        **_TARGETS,
        "patient": patient,
        "types": json.dumps(list(types)),
        "since": since,
        "after": after,
        "is_suppressed": int(suppressed),
        "most": most,
    }
    if during is not None:
        values |= {"start": during[0], "end": during[1]}
    statement = COMPARTMENT if during is None else COMPARTMENT_DURING
    if limits is not None:
        statement, more = limited(OF_LIMITED if during is None else OF_LIMITED_DURING, of_types(limits))
        values |= {**more, "behind": behind, "last": _LAST, "apart": 0 if follows_patient else _MANAGING}
    compiled = statement.compiled(engine.dialect)
    rows = await engine.scan(compiled.sql, compiled.positional(values), SECONDS)
    return await in_turns(_placed, rows)


def _placed(row: Row) -> Version:
    place, address, version, updated, owner, body = row
    return version_of(address, version, updated, body, str(owner), (int(place),))
