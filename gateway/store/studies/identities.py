"""Store identities of patients: the claims of studies, conflicts, operators' verdicts, and merges.

Carries out no clause of a standard; decision D12.
Proved by tests/contract/test_patients.py and tests/contract/test_merged_messages.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from gateway.index.keys import SEPARATOR, key
from gateway.index.terms import words
from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, instant, micros
from gateway.store.database.facts import noted
from gateway.store.database.kept import decompressed, served_version
from gateway.store.studies import write_versions
from gateway.store.studies.fragments import Sql
from gateway.store.studies.limited import limited
from gateway.store.studies.search import version_of
from gateway.store.studies.search_sql import SECONDS
from gateway.store.studies.within import held_apart, in_facilities
from mappings.fhir.patient import described, replaced_ids, survivor_id
from mappings.patient.identifiers import mrn_key
from mappings.profile import exact

_LINKED: Final = "v.patient_id = :patient_id AND v.verdict = 'link' AND v.reopened IS NULL"
_OF_CLAIM: Final = "FROM claim c WHERE c.patient_id = :patient_id AND c.study_id = k.study_id)"
# Step by step through the contents in the index: of each the newest claim by another study. Then the claims that an
# operator linked to the patient, with the persons judged, and the study's own. The columns are read one by one: for a
# join or EXISTS, all claims of the patient might be read
_CLAIMS: Final = (
    "WITH RECURSIVE said (content) AS"
    " (SELECT (SELECT min(c.content) FROM claim c WHERE c.patient_id = :patient_id AND c.content > '')"
    " UNION ALL SELECT (SELECT min(c.content) FROM claim c WHERE c.patient_id = :patient_id"
    " AND c.content > said.content) FROM said WHERE said.content IS NOT NULL),"
    " known (study_id) AS (SELECT (SELECT c.study_id FROM claim c WHERE c.patient_id = :patient_id"
    " AND c.content = said.content AND c.study_id <> :study_id"
    " AND NOT EXISTS (SELECT 1 FROM verdict v WHERE {linked} AND v.study_id = c.study_id)"
    " ORDER BY c.study_date DESC, c.signed DESC, c.study_id DESC LIMIT 1) FROM said"
    " UNION SELECT v.study_id FROM verdict v WHERE {linked}"
    " UNION SELECT :study_id)"
    " SELECT k.study_id, (SELECT c.study_date {claim}, (SELECT c.signed {claim}, (SELECT c.body {claim},"
    " coalesce((SELECT v.judged FROM verdict v WHERE {linked} AND v.study_id = k.study_id), '') FROM known k"
)
CLAIMS: Final = Statement(_CLAIMS.replace("{linked}", _LINKED).replace("{claim}", _OF_CLAIM))


def content_of(body: bytes) -> str:
    """Return the digest that is equal for claims with equal content."""
    return hashlib.sha256(body).hexdigest()[:32]


def claims_about(patient_ids: Iterable[str], study_id: str) -> Steps[list[Row]]:
    """Read the claims about these patients that an ingest of the study compares with, sorted.

    A row has the patient, the study, its date, its signature, the Patient as bytes, and the persons judged.
    """
    claims: list[Row] = []
    for patient_id in sorted(patient_ids):
        claims += claims_in_order(patient_id, (yield from ask(CLAIMS, patient_id=patient_id, study_id=study_id)))
    return claims


def claims_in_order(patient_id: str, rows: Iterable[Row]) -> list[Row]:
    """Sort rows of `CLAIMS` by study, with the patient id in front; leave out rows without a body."""
    claims: list[Row] = [(patient_id, *row[:3], decompressed(row[3]), *row[4:]) for row in rows if row[3] is not None]
    return sorted(claims, key=lambda row: str(row[1]))


_PATIENT: Final = "Patient/"
_OF_CLAIMS: Final = (
    "SELECT c.patient_id, c.body FROM claim c WHERE c.patient_id IN listed(:patient_ids){limit}"
    " ORDER BY c.patient_id, c.study_date, c.signed, c.study_id"
)


async def newest_claims(engine: Engine, addresses: Sequence[str], organizations: Sequence[str]) -> dict[str, bytes]:
    """Return each Patient (by address) as the newest study of these facilities describes it, as FHIR JSON.

    The order is that of `study_write`: study date, signature, study id.
    """
    if not organizations:
        return {}
    statement, values = limited(_OF_CLAIMS, Sql(*in_facilities("c.study_id", organizations)))
    patient_ids = json.dumps([one.removeprefix(_PATIENT) for one in addresses])
    rows = await engine.fetch(statement, patient_ids=patient_ids, **values)
    claims: dict[str, dict[bytes, None]] = {}
    for patient_id, packed in rows:
        contents, claim = claims.setdefault(f"{_PATIENT}{patient_id}", {}), decompressed(packed)
        contents.pop(claim, None)  # each content once, at the place of its newest study
        contents[claim] = None
    return {address: body for address, contents in claims.items() if (body := described([*contents])) is not None}


_EVERY: Final = Statement(
    "SELECT patient_id, study_id, 'held apart' AS state, since FROM conflict"
    " UNION ALL SELECT patient_id, study_id, verdict || CASE WHEN reopened IS NULL THEN '' ELSE ' no longer counts'"
    " END, coalesce(reopened, decided) FROM verdict"
    " UNION ALL SELECT c.patient_id, c.study_id, 'contradicted', (SELECT max(r.first_seen) FROM report r"
    " WHERE r.study_id = c.study_id) FROM claim c WHERE c.study_id IN (SELECT i.study_id FROM issue i"
    " WHERE i.code = 'identity-conflict') AND (NOT EXISTS (SELECT 1 FROM conflict f WHERE f.study_id = c.study_id)"
    " OR EXISTS (SELECT 1 FROM claim k WHERE k.study_id = c.study_id AND k.patient_id <> c.patient_id))"
    " AND NOT EXISTS (SELECT 1 FROM verdict v WHERE v.patient_id = c.patient_id AND v.study_id = c.study_id"
    " AND v.reopened IS NULL)"
    " ORDER BY 1, 2, 3"
)
_DISPUTED: Final = (
    "SELECT 1 FROM (SELECT c.patient_id, c.study_id FROM conflict c WHERE c.patient_id IN listed(:patient_ids)"
    " AND {between} UNION ALL SELECT c.patient_id, c.study_id FROM claim c WHERE c.patient_id IN listed(:patient_ids)"
    "{limit} AND EXISTS (SELECT 1 FROM issue i WHERE i.study_id = c.study_id AND i.code = 'identity-conflict')) d"
    " WHERE NOT EXISTS (SELECT 1 FROM verdict v WHERE v.patient_id = d.patient_id AND v.study_id = d.study_id"
    " AND v.reopened IS NULL) LIMIT 1"
)
_DESCRIBED: Final = Statement("SELECT 1 FROM claim WHERE patient_id = :patient_id LIMIT 1")
_NAMED: Final = Statement(
    "SELECT patient_id FROM claim WHERE study_id = :study_id"
    " UNION SELECT patient_id FROM conflict WHERE study_id = :study_id"
    " UNION SELECT patient_id FROM verdict WHERE study_id = :study_id"
)
_DECIDE: Final = Statement(
    "INSERT INTO verdict (patient_id, study_id, verdict, reason, decided)"
    " SELECT :patient_id, study_id, :verdict, :reason, :decided FROM study WHERE study_id = :study_id"
    " ON CONFLICT (patient_id, study_id) DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason,"
    " decided = excluded.decided, judged = '', reopened = NULL RETURNING study_id"
)
# An ingest that runs right now does not know the verdict: the new revision makes it start again
_MOVE_ON: Final = Statement("UPDATE study SET revision = revision + 1 WHERE study_id = :study_id")


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """Patient id that a study claims, and the state of that claim (conflict or verdict).

    `held apart`: other studies use the id for another person. `contradicted`: the study's own reports name several
    people, this one among them. `link` or `separate`: an operator's verdict; `no longer counts` is added once the study
    names another person than the one judged.
    """

    patient_id: str
    study_id: str
    state: str
    since: datetime


async def every(engine: Engine) -> list[StoredIdentity]:
    """Return all conflicts, between studies and within one study, and all verdicts."""
    rows = await engine.fetch(_EVERY)
    return [StoredIdentity(str(row[0]), str(row[1]), str(row[2]), instant(int(row[3]))) for row in rows]


async def named(engine: Engine, study_id: str) -> set[str]:
    """Return the ids of the patients that a study claims or conflicts with; empty if the study is not stored."""
    return {str(patient_id) for (patient_id,) in await engine.fetch(_NAMED, study_id=study_id)}


async def is_disputed(engine: Engine, patient_ids: Sequence[str], organizations: Sequence[str] | None = None) -> bool:
    """True if one of these patients has an open conflict, between studies or within one study.

    With `organizations`, the addresses of facilities, only their studies count.

    Raises:
        StoreTooSlow: it took too long.
    """
    between, limit = Sql("1 = 1"), Sql("1 = 1")
    if organizations is not None:
        between, limit = Sql(*held_apart(organizations)), Sql(*in_facilities("c.study_id", organizations))
    statement, values = limited(_DISPUTED, limit, between=between)
    compiled = statement.compiled(engine.dialect)
    asked = compiled.positional({"patient_ids": json.dumps(list(patient_ids)), **values})
    # A patient may have very many studies
    return bool(await engine.scan(compiled.sql, asked, SECONDS, tries_here=True))


async def is_described(engine: Engine, patient_id: str) -> bool:
    """True if a study describes the patient now; a Patient that no study describes any more is kept as it was."""
    return bool(await engine.fetch(_DESCRIBED, patient_id=patient_id))


async def decide(  # noqa: PLR0913, PLR0917 (the parts of a verdict)
    engine: Engine, patient_id: str, study_id: str, verdict: str, reason: str, at: datetime
) -> bool:
    """Store an operator's verdict in place of any earlier one; False if no such study is stored."""
    values = {"verdict": verdict, "reason": reason, "decided": micros(at)}

    def work() -> Steps[bool]:
        yield from ask(_MOVE_ON, study_id=study_id)
        is_known = bool((yield from ask(_DECIDE, patient_id=patient_id, study_id=study_id, **values)))
        if is_known:
            yield from noted(f"identity-{verdict}", f"Patient/{patient_id} {study_id}", reason, micros(at))
        return is_known

    return await engine.do(work)


async def survivor_of(engine: Engine, patient_id: str) -> str:
    """Follow merges from a Patient to the one that replaces it; return that id, or its own if none does.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return (await merged_into(engine, patient_id) or [patient_id])[-1]


async def merged_into(engine: Engine, patient_id: str, organizations: Sequence[str] | None = None) -> list[str]:
    """Return this Patient and those that replace it, in order of the merges; empty if it is unknown.

    With `organizations`, the addresses of facilities, only what their studies say counts.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    line: list[str] = []
    while patient_id and patient_id not in line:
        known = await _patient(engine, patient_id, organizations)
        line += [patient_id] if known else []
        patient_id = survivor_id(known)
    return line


async def with_replaced(engine: Engine, patient_ids: Iterable[str]) -> list[str]:
    """Add to these patients all that they replace since a merge; each once.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    every = list(dict.fromkeys(patient_ids))
    replaced = [one for patient_id in every for one in replaced_ids(await _patient(engine, patient_id))]
    return list(dict.fromkeys((*every, *replaced)))


async def _patient(engine: Engine, patient_id: str, organizations: Sequence[str] | None = None) -> dict[str, Any]:
    """Return a Patient's current version, or (for some facilities) what their studies say; empty if there is none."""
    address = f"Patient/{patient_id}"
    if organizations is not None:
        body = (await newest_claims(engine, [address], organizations)).get(address, b"{}")
        return dict(json.loads(body))
    rows = await engine.fetch(write_versions.CURRENT_OF, addresses=json.dumps([address]))
    return next((json.loads(served_version(row[4], row[1], row[2])) for row in rows), {})


_NAME: Final = key("Organization", "name")
# The index has the rest of a name from each word on, and no accents: the names themselves are compared afterwards
_ORGANIZATIONS_NAMED: Final = Statement(
    "SELECT DISTINCT r.address, v.version, v.updated, v.body FROM term t CROSS JOIN resource r CROSS JOIN version v"
    " WHERE t.key = :key AND t.value IN listed(:names) AND r.number = t.resource"
    " AND v.resource = r.number AND v.version = r.version"
)


async def organizations_named(engine: Engine, facilities: Iterable[str]) -> dict[str, str]:
    """Find Organizations by name or alias; return their addresses, each with the name it was found by.

    Names are compared, and returned, in the form of `exact`.
    """
    wanted = {exact(one) for one in facilities} - {""}
    found = {}
    for row in await engine.fetch(_ORGANIZATIONS_NAMED, key=_NAME, names=json.dumps(sorted(map(words, wanted)))):
        version = version_of(*row)
        organization = version.resource
        names = map(exact, (organization.get("name"), *organization.get("alias", ())))
        if is_called := wanted.intersection(names):
            found[version.address] = min(is_called)
    return found


_IDENTIFIER: Final = key("Patient", "identifier")
_AT_A_TIME: Final = 5_000
_PAGE: Final = Statement(
    "SELECT value, resource FROM term WHERE key = :key AND (value, resource) > (:after, :number)"
    " ORDER BY value, resource LIMIT :most"
)
_ADDRESS: Final = Statement("SELECT address FROM resource WHERE number = :number")


class SpelledNumber(NamedTuple):
    """Identifier of a Patient: `value` in its form for comparison (`mrn_key`), and the FHIR system."""

    patient_id: str
    system: str
    value: str


async def patients_spelling(engine: Engine, values: Collection[str]) -> list[SpelledNumber]:
    """Return the patients who have, or had, one of these numbers (`mrn_key`), whoever issued it.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = list[tuple[int, str, str]]()
    after, number = "", 0
    while rows := await engine.fetch(_PAGE, key=_IDENTIFIER, after=after, number=number, most=_AT_A_TIME):
        after, number = str(rows[-1][0]), int(rows[-1][1])
        for term, resource in rows:
            code, _, system = str(term).partition(SEPARATOR)
            if (value := mrn_key(code)) in values:
                found.append((int(resource), system, value))
    return [
        SpelledNumber(str(address).removeprefix("Patient/"), system, value)
        for resource, system, value in found
        for (address,) in await engine.fetch(_ADDRESS, number=resource)
    ]


_NEWEST: Final = Statement(
    "SELECT study_id FROM claim WHERE patient_id IN listed(:patient_ids)"
    " GROUP BY study_id ORDER BY max(study_date) DESC, max(signed) DESC, study_id DESC LIMIT :most"
)
_KEPT: Final = Statement(
    "SELECT study_id, kept FROM study WHERE study_id IN listed(:study_ids) AND is_external = 0 AND has_signed = 1"
)
_IN_CONFLICT: Final = Statement("SELECT study_id FROM conflict WHERE patient_id IN listed(:patient_ids) LIMIT 1")


async def studies_of(engine: Engine, patient_ids: Iterable[str], most: int) -> list[bytes]:
    """Return a patient's studies with signed reports, compressed; none while a conflict about the patient is open.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    wanted = json.dumps(sorted(patient_ids))
    if await engine.fetch(_IN_CONFLICT, patient_ids=wanted):
        return []
    newest = [str(study_id) for (study_id,) in await engine.fetch(_NEWEST, patient_ids=wanted, most=most)]
    states = {str(one): bytes(kept) for one, kept in await engine.fetch(_KEPT, study_ids=json.dumps(newest))}
    return [states[one] for one in newest if one in states]
