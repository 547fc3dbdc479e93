"""SQL conditions for the data a client may see: studies of its facilities, or its patient's compartment.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html, decision D41. The index tells the facilities of a study: its
reports have them as `performer`. Placeholders are `?`.
Proved by tests/contract/test_visibility.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.index.criteria import Within
from gateway.index.keys import key
from mappings.fhir.resource_types import types_at

Condition = tuple[str, tuple[Any, ...]]  # text, and the values of its placeholders

_PATIENT: Final = len("Patient/") + 1
_PERFORMER: Final = key("DiagnosticReport", "performer")
_SUBJECT: Final = key("DiagnosticReport", "patient")
_TARGET: Final = key("Provenance", "target")
_OF_ROLE: Final = (key("PractitionerRole", "practitioner"), key("PractitionerRole", "organization"))
_MEMBERS: Final = {kind: key(kind, "patient") for kind in types_at("member")}
# Organizations that the reports of a study name; `0` follows `/` in byte order
_NAMED: Final = (
    "SELECT 1 FROM resource ws CROSS JOIN term wn WHERE ws.owner = {owner} AND wn.resource = ws.number"
    " AND wn.key = ? AND wn.value "
)
_OTHERS: Final = "> 'Organization/' AND wn.value < 'Organization0' AND wn.value NOT IN "
_NEVER: Final[Condition] = ("1 = 0", ())


def within(one: Within, alias: str) -> Condition:
    """Return the condition that a resource (table alias) lies within a client's limits."""
    if one.organizations == ():
        return _NEVER
    return _OF_TYPE.get(one.resource_type, _of_member)(one, alias)


def in_facilities(owner: str, organizations: Sequence[str]) -> Condition:
    """Return the condition that all reports of a study name facilities among these.

    `owner` is the SQL for the id of the study. A study that names no facility belongs to none.
    """
    named, places = _NAMED.format(owner=owner), f"({', '.join('?' * len(organizations))})"
    text = f"EXISTS ({named}IN {places} LIMIT 1 OFFSET 0) AND NOT EXISTS ({named}{_OTHERS}{places} LIMIT 1 OFFSET 0)"
    return text, (_PERFORMER, *organizations, _PERFORMER, *organizations)


def held_apart(organizations: Sequence[str]) -> Condition:
    """Return the condition that a row `c` of `conflict` is between studies of these facilities."""
    if not organizations:
        return _NEVER
    named: Condition = ("wc.patient_id = c.patient_id", ())
    known = _there_is("claim wc", named, in_facilities("wc.study_id", organizations))
    return _both(in_facilities("c.study_id", organizations), known)


def _both(*conditions: Condition) -> Condition:
    texts = " AND ".join([text for text, _ in conditions])
    return texts, tuple([value for _, values in conditions for value in values])


def _there_is(rows: str, *conditions: Condition) -> Condition:
    """Return the condition that a FROM clause has rows that meet all conditions."""
    text, values = _both(*conditions)
    return f"EXISTS (SELECT 1 FROM {rows} WHERE {text} LIMIT 1 OFFSET 0)", values


def _of_facilities(one: Within, owner: str) -> list[Condition]:
    return [] if one.organizations is None else [in_facilities(owner, one.organizations)]


def _of_member(one: Within, alias: str) -> Condition:
    conditions = _of_facilities(one, f"{alias}.owner")
    if one.patient is not None:
        text = f"wp.resource = {alias}.number AND wp.key = ? AND wp.value = ?"
        conditions.insert(0, _there_is("term wp", (text, (_MEMBERS[one.resource_type], one.patient))))
    return _both(*conditions)


def _of_provenance(one: Within, alias: str) -> Condition:
    """Return the condition for a Provenance: its target is the patient, or a resource in the patient's compartment."""
    conditions = _of_facilities(one, f"{alias}.owner")
    if one.patient is not None:
        targets = f"wt.resource = {alias}.number AND wt.key = ?"
        itself, of_itself = _there_is("term wt", (f"{targets} AND wt.value = ?", (_TARGET, one.patient)))
        text = (
            f"{targets} AND wm.address = wt.value AND wp.resource = wm.number"
            f" AND wp.key IN ({', '.join('?' * len(_MEMBERS))}) AND wp.value = ?"
        )
        about: Condition = (text, (_TARGET, *_MEMBERS.values(), one.patient))
        member, of_member = _there_is("term wt CROSS JOIN resource wm CROSS JOIN term wp", about)
        conditions.insert(0, (f"({itself} OR {member})", (*of_itself, *of_member)))
    return _both(*conditions)


def _of_patient(one: Within, alias: str) -> Condition:
    """Return the condition for a Patient: a study of the facilities names it now."""
    conditions: list[Condition] = []
    if one.patient is not None:
        conditions.append((f"{alias}.address = ?", (one.patient,)))
    if one.organizations is not None:
        named: Condition = (f"wc.patient_id = substr({alias}.address, {_PATIENT})", ())
        conditions.append(_there_is("claim wc", named, in_facilities("wc.study_id", one.organizations)))
    return _both(*conditions)


def _reported(one: Within, performer: str, organization: str | None = None) -> Condition:
    """Return the condition that a report within the limits has this performer, and this facility as another one."""
    source, conditions = "term wa", [_performer("wa", performer)]
    if one.patient is not None:  # few: the search for the report starts here
        source = "term wp CROSS JOIN term wa"
        subject: Condition = ("wp.key = ? AND wp.value = ? AND wa.resource = wp.resource", (_SUBJECT, one.patient))
        conditions.insert(0, subject)
    if organization is not None:
        source += " CROSS JOIN term wb"
        conditions += [("wb.resource = wa.resource", ()), _performer("wb", organization)]
    if one.organizations is not None:
        # One look at the report itself tells most of those that are not within the facilities
        source += " CROSS JOIN term wo CROSS JOIN resource wr"
        places = ", ".join("?" * len(one.organizations))
        text = f"wo.resource = wa.resource AND wo.key = ? AND wo.value IN ({places}) AND wr.number = wa.resource"
        conditions.append((text, (_PERFORMER, *one.organizations)))
        conditions.append(in_facilities("wr.owner", one.organizations))
    return _there_is(source, *conditions)


def _performer(term: str, address: str) -> Condition:
    return f"{term}.key = ? AND {term}.value = {address}", (_PERFORMER,)


def _of_practitioner(one: Within, alias: str) -> Condition:
    return _reported(one, f"{alias}.address")


def _of_organization(one: Within, alias: str) -> Condition:
    """Return the condition for an Organization: a report within the limits names it as facility."""
    reported = _reported(one, f"{alias}.address")
    if one.organizations is None:
        return reported
    places = ", ".join("?" * len(one.organizations))
    return _both((f"{alias}.address IN ({places})", one.organizations), reported)


def _of_role(one: Within, alias: str) -> Condition:
    """Return the condition for a PractitionerRole: a report within the limits has its Practitioner and Organization."""
    practitioner, organization = _OF_ROLE
    text = f"wk.resource = {alias}.number AND wk.key = ? AND wl.resource = {alias}.number AND wl.key = ?"
    terms: Condition = (text, (practitioner, organization))
    return _there_is("term wk CROSS JOIN term wl", terms, _reported(one, "wk.value", "wl.value"))


_OF_TYPE: Final[dict[str, Callable[[Within, str], Condition]]] = {
    "Provenance": _of_provenance,
    "Patient": _of_patient,
    "Practitioner": _of_practitioner,
    "Organization": _of_organization,
    "PractitionerRole": _of_role,
}
