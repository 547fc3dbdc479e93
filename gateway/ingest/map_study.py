"""Map one fetched study: decode AutoScribe's JSON, compare with the stored study, and map to FHIR. No I/O.

AutoScribe REST API: `GET /v1/autoScribe/studies/{studyId}`, `/reports`, `/users/{userId}`; decisions D2, D7, D12, D20.
An operator's verdict on two persons (same or not) counts as long as the digests of their data, under the site key, are
the same.
Proved by tests/contract/test_patients.py and tests/gateway/ingest/test_verdicts.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from unicodedata import normalize

from gateway.ingest.meet_orders import MetOrders, WantedOrders, meet_orders, merged_of, wanted_orders
from gateway.store.database.kept import Kept, kept
from gateway.store.feed.cancelled_reports import MOST_AN_HOUR
from gateway.store.known_study import Fetched, KnownStudy
from mappings import decode, to_fhir
from mappings.fhir.patient import person_of, renamed, survivor_id, taken_patient_ids
from mappings.issues import MappingIssue
from mappings.life.changes import Change, Known, changes
from mappings.life.status import refusal
from mappings.model import CauseKind, Facts, Study, Withdrawal
from mappings.patient.people import Person, are_two_people, person
from mappings.patient.subjects import Subject, subjects
from mappings.profile import Site
from mappings.values.dates import study_dates_after

_WORD: Final = re.compile(r"[^\W_]+")
_NOBODY: Final = Person()
People = Mapping[str, Person]


@dataclass(frozen=True, slots=True)
class Judged:
    """Digests of the persons that an operator's verdict was about: the study's own first, then other studies'.

    `counts` is False while the studies describe other persons.
    """

    digests: str
    counts: bool


def people(study: Study, site: Site, facts: Facts, held: frozenset[str]) -> People:
    """Return the person behind each patient id of the study: ids it names, and ids it uses in their place.

    `held` are the ids it names that other studies use for another person.
    """
    persons: dict[str, Person] = {}
    for taken in (held, frozenset[str]()):
        about = subjects(study, study.reports, site, replace(facts, taken_patient_ids=taken))
        persons.update((one.identity.patient_id, person(one.snapshot)) for one in about.values())
    return persons


def judged(  # noqa: PLR0913, PLR0917 (each verdict's persons, then and now)
    verdicts: Mapping[str, str],
    known: Mapping[str, str],
    before: People,
    present: People,
    named: People,
    others: Mapping[str, Sequence[Mapping[str, Any]]],
    key: bytes,
) -> dict[str, Judged]:
    """Decide which verdicts still count. `known` are stored digests, empty for a verdict since the last ingest.

    Such a verdict is about the persons known to the last ingest, `before`, not about those of this one: `present`, and
    `named` for patient ids that other studies name too.
    """
    results = {}
    for patient_id, verdict in verdicts.items():
        beside = [person_of(one) for one in others.get(patient_id, ())]
        digests = known.get(patient_id) or _digests(before.get(patient_id, _NOBODY), beside, key)
        own = present.get(patient_id)
        who = named.get(patient_id, _NOBODY)
        against = [one for one in beside if are_two_people(who, one) == (verdict == "link")]
        results[patient_id] = Judged(digests, own is None or _is_still(digests, own, against, key))
    return results


def is_judged_beside(digests: str, own: Person | None, key: bytes) -> bool:
    """True if this person was known when a linked study's verdict was given: the two count as one person."""
    return own is not None and _digest(own, key) in digests.split()[1:]


def _digests(own: Person, others: Sequence[Person], key: bytes) -> str:
    return " ".join([_digest(own, key), *sorted({_digest(one, key) for one in others})])


def _is_still(digests: str, own: Person, against: Sequence[Person], key: bytes) -> bool:
    """True if the study still describes the person of the verdict, and no new study contradicts it."""
    mine, *theirs = digests.split()
    return _digest(own, key) == mine and all(_digest(one, key) in theirs for one in against)


def _digest(who: Person, key: bytes) -> str:
    """Return a digest of a person: the words of the name in any order, birth date and sex."""
    words = sorted(_WORD.findall(normalize("NFKC", who.name).casefold()))
    return hmac.digest(key, "\x1f".join([" ".join(words), who.birth_date, who.sex]).encode(), hashlib.sha256).hex()


Json = Mapping[str, Any]
Resource = dict[str, Any]
Key = tuple[str, str]
# Causes after which a report may have another text, and so another PDF
NEW_TEXT: Final[frozenset[CauseKind]] = frozenset({"signed", "addendum_signed", "text_changed", "reinstated"})


@dataclass(frozen=True, slots=True)
class MappedStudy:
    """Mapped study: its change, the facts used, resources by type and id, and issues.

    `before` is the study's last ingest. `doubts` are the issues found before the mapping. `judged` tells, by patient
    id, whether each verdict still counts. `carried` maps survivors of a merge to the replaced patients whose verdicts
    they take over. `met` is the match with orders; None without a source of orders.
    """

    before: Kept | None
    change: Change
    facts: Facts
    resources: Mapping[Key, Resource]
    doubts: tuple[MappingIssue, ...]
    mapping_issues: tuple[MappingIssue, ...]
    judged: Mapping[str, Judged] = field(default_factory=dict)
    carried: Mapping[str, str] = field(default_factory=dict)
    met: MetOrders | None = None

    @property
    def issues(self) -> tuple[MappingIssue, ...]:
        """Issues of the study, each once."""
        of_orders = self.met.issues if self.met else ()
        return tuple(dict.fromkeys((*self.doubts, *of_orders, *self.mapping_issues)))

    @property
    def patient_ids(self) -> list[str]:
        """Ids of its Patients."""
        return [resource_id for kind, resource_id in self.resources if kind == "Patient"]

    def carried_verdicts(self, known: KnownStudy) -> dict[str, str]:
        """Map each surviving patient without a verdict to a merged patient whose verdict carries over.

        A verdict that holds the study apart goes before one that links it.
        """
        patients = [one for (kind, _), one in self.resources.items() if kind == "Patient"]
        pairs = [(survivor, one["id"]) for one in patients if (survivor := survivor_id(one))]
        judged_pairs = [(new, old) for new, old in pairs if old in known.verdicts and new not in known.verdicts]
        return dict(sorted(judged_pairs, key=lambda pair: known.verdicts[pair[1]] == "separate"))


@dataclass(frozen=True, slots=True)
class ComparedStudy:
    """Fetched study after comparison with the stored one, before mapping, with the issues so far.

    `patient_ids` are its patients by what is known so far. `wanted` is its search for orders; None without a source of
    orders.
    """

    before: Kept | None
    change: Change
    facts: Facts
    doubts: tuple[MappingIssue, ...]
    patient_ids: frozenset[str]
    wanted: WantedOrders | None


@dataclass(frozen=True, slots=True)
class Needs:
    """Claims about patients, and orders by their numbers, that must be read before a study can be planned.

    `keys` is None if the orders were read, or there is no source of them. `compared` is the comparison so far; None if
    it rests on merges of the hospital, which may be others then.
    """

    patient_ids: frozenset[str]
    keys: frozenset[str] | None
    compared: ComparedStudy | None


def map_study(
    fetched: Fetched, known: KnownStudy, site: Site, at: datetime, earlier: Needs | None = None
) -> MappedStudy | Needs:
    """Decode the fetched study, compare it with the stored one, match it with its orders, and map it.

    Return instead what must be read before, if its orders or the claims about its patients were not read: read them,
    and call again with this as `earlier`. `at` is the present.

    Raises:
        WireError: the fetched JSON does not follow the contract.
    """
    hospital = known.hospital
    has_merges = hospital is not None and bool(hospital.changes)
    one = None if earlier is None or has_merges else earlier.compared
    if one is None:
        one = _compared(fetched, known, site, at)
    lasting = None if has_merges else one
    if hospital and one.wanted and not (hospital.is_read and hospital.keys.issuperset(one.wanted.keys)):
        return Needs(one.patient_ids, one.wanted.keys, lasting)
    if not known.claims_of.issuperset(one.patient_ids):
        return Needs(one.patient_ids, None, lasting)
    facts, met = meet_orders(one.change, one.facts, hospital, site, at, one.wanted)
    return replace(_mapped(one.before, one.change, facts, site, one.doubts), met=met)


def _compared(fetched: Fetched, known: KnownStudy, site: Site, at: datetime) -> ComparedStudy:
    decoded = decode(fetched.study, fetched.reports, fetched.users)
    before = None if known.kept is None else kept(known.kept)
    earlier = Known(at=at)
    if before is not None:
        facts = before.facts
        earlier = replace(earlier, corrected=facts.corrected, version=before.version, seen=facts.seen, gone=facts.gone)
        earlier = replace(earlier, merged_before=facts.merged, old_numbers=facts.old_numbers)
        earlier = replace(earlier, cancelled=known.withdrawn("report"), was_withdrawn=facts.is_withdrawn)
        earlier = replace(earlier, is_withdrawn=bool(known.withdrawn("study")), withdrawal_before=facts.withdrawal)
    studies = (decoded, before.study if before else None)
    earlier = replace(earlier, merged=merged_of(known.hospital, studies, earlier.old_numbers, site))
    earlier = replace(earlier, withdrawal=_withdrawal(before, decoded, known, site))
    change = changes(before.study if before else None, decoded, site, earlier)
    other_text = {one.report_id for one in change.causes if one.kind in NEW_TEXT}
    facts = Facts(
        pdf={report_id: one for report_id, one in known.pdf.items() if report_id not in other_text},
        accession_number=known.accession_number,
        corrected=change.corrected,
        seen=change.seen,
        gone=change.gone,
        merged=change.merged,
        old_numbers=change.old_numbers,
        is_withdrawn=change.is_withdrawn,
        withdrawal=change.withdrawal,
    )
    doubts = (*decoded.issues, *fetched.doubts, *change.issues)
    study, about, wanted = change.study, list[Subject](), None
    if known.hospital is not None:
        wanted = wanted_orders(study, before.study if before else None, facts, known.hospital.told, site)
        about += wanted.about
    elif not refusal(study):
        about += subjects(study, study.reports, site, facts).values()
    patient_ids = frozenset([one.identity.patient_id for one in about])
    return ComparedStudy(before, change, facts, doubts, patient_ids, wanted)


def _withdrawal(before: Kept | None, study: Study, known: KnownStudy, site: Site) -> Withdrawal:
    """Decide if the site withdraws a cancelled study by itself: where too many were within the hour, it waits (D21).

    One that was cancelled before stays as it was decided then.
    """
    if site.on_cancelled_after_sign != "withdraw" or not study.is_cancelled:
        return ""
    if before is None or not before.study.completed or before.study.is_cancelled:
        return (before and before.facts.withdrawal) or "done"
    return "waits" if len(known.withdrawals - {study.study_id}) >= MOST_AN_HOUR else "done"


def settled(mapped: MappedStudy, known: KnownStudy, site: Site, at: datetime) -> MappedStudy:
    """Compare the study's patients with other studies' claims (D12), and check its dates against `at`, the present.

    A verdict on a patient whom a merge replaced is one on the survivor, unless there is one on that.
    """
    if carried := mapped.carried_verdicts(known):
        verdicts = {**known.verdicts, **{new: known.verdicts[old] for new, old in carried.items()}}
        digests = {**known.judged, **{new: known.judged.get(old, "") for new, old in carried.items()}}
        known = replace(known, verdicts=verdicts, judged=digests)
        mapped = replace(mapped, carried=carried)
    apart = _apart(mapped, _claims_of_others(mapped, known, site), known, site, at)
    late = tuple(study_dates_after(apart.change.study.reports, at))
    return replace(apart, doubts=(*apart.doubts, *late)) if late else apart


def remapped(before: Kept, site: Site) -> Mapping[Key, Resource]:
    """Map a stored study again with the present mapping rules (D7)."""
    return {(one["resourceType"], one["id"]): one for one in to_fhir(before.study, site, before.facts).output}


def _claims_of_others(mapped: MappedStudy, known: KnownStudy, site: Site) -> dict[str, list[Json]]:
    """Collect other studies' claims about each patient, except those that a verdict links to this study."""
    study, claims, patient_ids = mapped.change.study, dict[str, list[Json]](), set(mapped.patient_ids)
    others = [row for row in known.claims if row[0] in patient_ids and row[1] != study.study_id]
    own = people(study, site, mapped.facts, frozenset()) if any(row[5] for row in others) else {}
    for patient_id, _, _, _, body, digests in others:
        if not is_judged_beside(str(digests), own.get(str(patient_id)), site.site_key):
            claims.setdefault(str(patient_id), []).append(json.loads(bytes(body)))
    return claims


def _apart(
    mapped: MappedStudy, others: Mapping[str, Sequence[Json]], known: KnownStudy, site: Site, at: datetime
) -> MappedStudy:
    """Keep patients apart that other studies or verdicts say are other persons, and map again (D12)."""
    resources = mapped.resources.values()
    taken = taken_patient_ids(resources, lambda patient_id: others.get(patient_id, ()))
    verdicts = known.verdicts
    separated = {one for one in mapped.patient_ids if verdicts.get(one) == "separate"}
    mapped = replace(mapped, judged=_judged(mapped, others, known, site, taken | separated))
    counting = frozenset(patient_id for patient_id, one in mapped.judged.items() if one.counts)
    linked = {one for one in counting if verdicts[one] == "link"}
    facts = replace(mapped.facts, taken_patient_ids=(taken - linked) | separated, decided_patient_ids=counting)
    if others:
        about = subjects(mapped.change.study, mapped.change.study.reports, site, facts).values()
        notes = renamed(about, resources, lambda patient_id: others.get(patient_id, ()))
        mapped = replace(mapped, doubts=(*mapped.doubts, *notes))
    if facts == mapped.facts:
        return mapped
    facts, met = meet_orders(mapped.change, facts, known.hospital, site, at)
    again = _mapped(mapped.before, mapped.change, facts, site, mapped.doubts)
    return replace(again, judged=mapped.judged, carried=mapped.carried, met=met)


def _judged(
    mapped: MappedStudy, others: Mapping[str, Sequence[Json]], known: KnownStudy, site: Site, held: frozenset[str]
) -> Mapping[str, Judged]:
    """Decide for each verdict if it still counts."""
    if not known.verdicts:
        return {}
    return judged(
        known.verdicts,
        known.judged,
        _people_before(mapped, site, held),
        people(mapped.change.study, site, mapped.facts, held),
        {one["id"]: person_of(one) for (kind, _), one in mapped.resources.items() if kind == "Patient"},
        others,
        site.site_key,
    )


def _people_before(mapped: MappedStudy, site: Site, held: frozenset[str]) -> People:
    """Return the persons of the study's last ingest, by patient id, also by ids that replaced theirs in a merge."""
    before, facts = mapped.before, mapped.facts
    if before is None:
        return {}
    then = people(before.study, site, before.facts, held)
    if not mapped.carried:
        return then
    followed = replace(before.facts, merged=facts.merged, old_numbers=facts.old_numbers)
    return {**people(before.study, site, followed, held), **then}


def _mapped(
    before: Kept | None, change: Change, facts: Facts, site: Site, doubts: tuple[MappingIssue, ...]
) -> MappedStudy:
    mapped = to_fhir(change.study, site, facts)
    resources = {(one["resourceType"], one["id"]): one for one in mapped.output}
    return MappedStudy(before, change, facts, resources, doubts, mapped.issues)
