"""Workflows of a hospital's orders, visits and merges around a study, each with the truth about the study.

HL7 v2.5.1 §4.5.1.1 (ORC-1: NW, SN, NA, XO, CA, RP, RO), §3.3.40 (A40), decision D48.
Proved by tests/gateway/sandbox/test_his.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from gateway.sandbox.his_telling import PLACER_KEY, HisTruth, Telling
from gateway.sandbox.people import FACILITIES

Workflow = Callable[[Telling], tuple[tuple[str, ...], str]]
"""Tells a study's messages; returns the placer order numbers that it answers, or else the reason."""
_HOUR: Final = timedelta(hours=1)


def drawn(telling: Telling, name: str = "") -> HisTruth:
    """Play the workflow of that name, or one that fits the study, and return the truth about the study."""
    if not name:
        fitting = CLEAN if telling.dice.chance(2 / 3) else DIRTY
        names = [one for one in fitting if not (telling.is_shared and one in _ALONE)]
        name = telling.dice.pick(names)
    if telling.site is None:
        name = "unknown-facility"
    elif not telling.is_clear:
        name = "order-before"
    orders, reason = WORKFLOWS[name](telling)
    return HisTruth(
        telling.study["studyId"],
        name,
        telling.here.mrn_namespace,
        orders,
        reason,
        is_clear=telling.is_clear or telling.site is None,
        is_clean=telling.is_clear and not reason,
        metadata=telling.metadata,
    )


def _order_before(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    at = it.before()
    it.tell_visit(at - _HOUR, "A01")
    it.tell(at, one)
    _noise(it)
    return (one.placer,), ""


def _order_after(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    it.tell(it.signed_at + timedelta(minutes=it.dice.integer(1, 3000)), one)
    _noise(it)
    return (one.placer,), ""


def _by_placer(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    it.metadata = {PLACER_KEY: one.placer}
    it.tell(it.before(), one)
    return (one.placer,), ""


def _resent(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    for hours in (30, 20, 10):
        it.tell(it.before(hours), one, kind="ORM")
    return (one.placer,), ""


def _changed(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    it.tell(it.before(30), one)
    it.tell(it.before(10), replace(one, control="XO", text=f"{one.text} revised", priority="S"))
    it.tell_visit(it.created + _HOUR, "A08")
    return (one.placer,), ""


def _statuses(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    it.tell(it.before(30), one)
    it.tell(it.created, replace(one, control="SC", status="IP"))
    it.tell(it.signed_at + _HOUR, replace(one, control="SC", status="CM"))
    return (one.placer,), ""


def _group(it: Telling) -> tuple[tuple[str, ...], str]:
    orders = [it.order() for _ in range(it.dice.integer(2, 3))]
    at = it.before()
    if it.dice.chance(0.5):
        it.tell(at, *orders)
    else:
        for place, one in enumerate(orders):
            it.tell(at + place * _HOUR, one)
    return tuple(one.placer for one in orders), ""


def _one_cancelled(it: Telling) -> tuple[tuple[str, ...], str]:
    gone, stays = it.order(), it.order()
    it.tell(it.before(40), gone, stays)
    it.tell(it.before(10), replace(gone, control="CA"))
    return (stays.placer,), ""


def _replaced(it: Telling) -> tuple[tuple[str, ...], str]:
    old = it.order()
    new = it.order("RO", parent=old.placer, accession=f"{it.accession}9")
    it.tell(it.before(40), old)
    it.tell(it.before(10), replace(old, control="RP"), new)
    return (new.placer,), ""


def _placer_later(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order("SN")
    it.tell(it.before(40), replace(one, placer=""))
    it.tell(it.before(10), replace(one, control="NA", accession=""), kind="ORM")
    return (one.placer,), ""


def _equal_numbers(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    for other in FACILITIES:
        if other.is_known and other != it.here:
            it.tell(it.before(), one, who=it.stranger(at=other))
    it.tell(it.before(), one)
    return (one.placer,), ""


def _reused_long_ago(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    it.tell(it.created - timedelta(days=it.dice.integer(500, 1500)), it.order(), who=it.stranger())
    it.tell(it.before(), one)
    return (one.placer,), ""


def _reused_soon(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    it.tell(it.created - timedelta(days=90), it.order(), who=it.stranger(twin=it.dice.chance(0.5)))
    it.tell(it.before(), one)
    return (one.placer,), ""


def _entered_again(it: Telling) -> tuple[tuple[str, ...], str]:
    wrong, one, other = it.order(), it.order(), it.stranger()
    it.tell(it.before(40), wrong, who=other)
    it.tell(it.before(30), replace(wrong, control="CA"), who=other)
    it.tell(it.before(20), one)
    return (one.placer,), ""


def _other_uid(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order(uid=f"2.25.{it.accession}")
    it.tell(it.before(), one)
    return (one.placer,), ""


def _merged_before(it: Telling) -> tuple[tuple[str, ...], str]:
    one, prior = it.order(), it.new_mrn()
    it.tell(it.before(60), one, who=replace(it.who, mrn=prior))
    it.tell_merge(it.before(10), it.who, prior)
    return (one.placer,), ""


def _merged_after(it: Telling) -> tuple[tuple[str, ...], str]:
    """Merge the study's patient number into another after signing; later messages have the other number."""
    one, survivor = it.order(), replace(it.who, mrn=it.new_mrn())
    it.tell(it.before(), one)
    it.tell_merge(it.signed_at + _HOUR, survivor, it.who.mrn)
    it.tell(it.signed_at + 2 * _HOUR, replace(one, control="XO"), who=survivor)
    return (one.placer,), ""


def _merged_twice(it: Telling) -> tuple[tuple[str, ...], str]:
    """Merge twice in a chain; the second merge is sent first."""
    one, first, second = it.order(), it.new_mrn(), it.new_mrn()
    it.tell(it.before(60), one, who=replace(it.who, mrn=first))
    it.tell_merge(it.before(30), it.who, second)
    it.tell_merge(it.before(10), replace(it.who, mrn=second), first)
    return (one.placer,), ""


def _cancelled(it: Telling) -> tuple[tuple[str, ...], str]:
    one = it.order()
    it.tell(it.before(40), one)
    it.tell(it.before(10), replace(one, control=it.dice.pick(("CA", "OC", "DC"))))
    return (), "order-cancelled"


def _other_patient(it: Telling) -> tuple[tuple[str, ...], str]:
    it.tell(it.before(), it.order(), who=it.stranger(twin=it.dice.chance(0.5)))
    return (), "patient-number-differs"


def _other_person(it: Telling) -> tuple[tuple[str, ...], str]:
    """Send an order under the study's patient number with somebody else's name, birth date and sex."""
    it.tell(it.before(), it.order(), who=replace(it.stranger(), mrn=it.who.mrn))
    return (), "patient-conflict"


def _only_old(it: Telling) -> tuple[tuple[str, ...], str]:
    it.tell(it.created - timedelta(days=it.dice.integer(500, 1500)), it.order())
    return (), "accession-reused"


def _no_order(it: Telling) -> tuple[tuple[str, ...], str]:
    it.tell(it.before(), it.order(accession=f"{it.accession}8"))
    return (), "no-order"


def _no_number(it: Telling) -> tuple[tuple[str, ...], str]:
    it.metadata = {}
    it.tell(it.before(), it.order())
    return (), "no-number"


def _mixed(it: Telling) -> tuple[tuple[str, ...], str]:
    other = it.order(accession=f"{it.accession}7")
    it.metadata = {**it.metadata, PLACER_KEY: other.placer}
    it.tell(it.before(), it.order())
    it.tell(it.before(), other)
    return (), "keys-disagree"


def _other_accession(it: Telling) -> tuple[tuple[str, ...], str]:
    """Send an order with the study's placer order number under another accession number."""
    one = it.order(accession=f"{it.accession}6")
    it.metadata = {**it.metadata, PLACER_KEY: one.placer}
    it.tell(it.before(), one)
    return (), "keys-disagree"


def _contradictory(it: Telling) -> tuple[tuple[str, ...], str]:
    it.tell(it.before(), it.order())
    it.tell(it.before(), it.order(), who=replace(it.stranger(), mrn=it.who.mrn))
    return (), "group-contradictory"


def _swapped(it: Telling) -> tuple[tuple[str, ...], str]:
    other = replace(it.who, mrn=it.new_mrn())
    it.tell(it.before(), it.order())
    it.tell_merge(it.before(30), other, it.who.mrn)
    it.tell_merge(it.before(10), it.who, other.mrn)
    return (), "merge-held"


def _unknown_facility(it: Telling) -> tuple[tuple[str, ...], str]:
    it.tell(it.before(), it.order())
    return (), "facility-unknown"


CLEAN: Final[dict[str, Workflow]] = {
    "order-before": _order_before,
    "order-after": _order_after,
    "by-placer": _by_placer,
    "resent": _resent,
    "changed": _changed,
    "statuses": _statuses,
    "group": _group,
    "one-cancelled": _one_cancelled,
    "replaced": _replaced,
    "placer-later": _placer_later,
    "equal-numbers": _equal_numbers,
    "reused-long-ago": _reused_long_ago,
    "reused-soon": _reused_soon,
    "entered-again": _entered_again,
    "other-uid": _other_uid,
    "merged-before": _merged_before,
    "merged-after": _merged_after,
    "merged-twice": _merged_twice,
}
"""Workflows in which the study answers orders."""
DIRTY: Final[dict[str, Workflow]] = {
    "cancelled": _cancelled,
    "other-patient": _other_patient,
    "other-person": _other_person,
    "only-old": _only_old,
    "no-order": _no_order,
    "no-number": _no_number,
    "mixed": _mixed,
    "other-accession": _other_accession,
    "contradictory": _contradictory,
    "swapped": _swapped,
}
"""Workflows in which the study answers none, for a reason."""
WORKFLOWS: Final[dict[str, Workflow]] = {**CLEAN, **DIRTY, "unknown-facility": _unknown_facility}
_ALONE: Final = frozenset({"merged-after", "swapped"})  # they change the number itself, which others may have


def _noise(it: Telling) -> None:
    """Sometimes add an order for another patient at another facility under the same number."""
    others = [one for one in FACILITIES if one.is_known and one != it.here]
    if it.dice.chance(0.3):
        it.tell(it.before(), it.order(), who=it.stranger(at=it.dice.pick(others)))
