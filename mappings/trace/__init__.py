"""Find the FHIR elements and HL7 v2 fields that each value in AutoScribe's JSON affects, by changing each value.

Carries out no clause of a standard; decision D6. Each leaf of a study's JSON gets other values of its own kind,
everything is mapped again, and every output that differs is a target of the leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from mappings.issues import WireError
from mappings.model import Facts
from mappings.profile import Receiver, Site
from mappings.trace.answered import MovedByMessage, moved_by_messages
from mappings.trace.losses import FHIR_LOSSES, HL7V2_LOSSES, is_lost, loss
from mappings.trace.outputs import Outputs, decoded, outputs
from mappings.trace.probes import Leaf, contexts, is_alone, joint_probes, leaves, probes
from mappings.trace.rules import rules_of

Json = Mapping[str, Any]
Class = Literal["exact", "normalised", "derived", "dropped"]
Mapper = Callable[..., Outputs]
_NO_FACTS: Final = Facts()
_LOSSES: Final = (FHIR_LOSSES, HL7V2_LOSSES)

__all__ = ["Class", "TraceRow", "defaulted", "trace"]


@dataclass(frozen=True, slots=True)
class TraceRow:
    """Targets of one source leaf.

    `pointer` is into the study document (`/reports/0/signedAt`), or names a message of a hospital (`order:EPIC/MSG1`).
    `fhir` and `hl7v2` name elements (`Patient.birthDate`)
    and fields (`PID-7`), `rules` the functions that make them. `kind`: the value is in a target unchanged (exact), is
    there with an issue about the change (normalised), is worked into a target (derived), or changes nothing (dropped).
    `hidden_by`: leaves with the same meaning that outrank this one. `losses` give the reason for each language in which
    it changes nothing.
    """

    pointer: str
    fhir: tuple[str, ...]
    hl7v2: tuple[str, ...]
    kind: Class
    rules: tuple[str, ...]
    hidden_by: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()


def trace(
    document: Json,
    site: Site,
    receiver: Receiver,
    facts: Facts = _NO_FACTS,
    is_wanted: Callable[[str], bool] = lambda _: True,
) -> tuple[TraceRow, ...]:
    """Trace the leaves of a study document whose pointers are wanted: the Study's JSON with its `reports` and `users`.

    Each message of a hospital that stated something of an answered order has a row too (D48).

    Raises:
        WireError: the document violates the upstream contract.
    """
    mapped = partial(outputs, site=site, receiver=receiver, facts=facts)
    base = mapped(document)
    wanted = [leaf for leaf in leaves(document) if is_wanted(leaf.pointer)]
    dropped = _dropped_together(document, wanted, base, mapped)
    rows = [_row(document, leaf, base, mapped, receiver, is_dropped=leaf in dropped) for leaf in wanted]
    if facts.orders:
        stated = moved_by_messages(base, lambda other: outputs(document, site, receiver, other), facts)
        rows += [_row_of_message(one, base) for one in stated]
    return tuple(rows)


def defaulted(
    document: Json, rows: Iterable[TraceRow], site: Site, receiver: Receiver, facts: Facts = _NO_FACTS
) -> tuple[str, ...]:
    """List the targets that no leaf changes: they come from the gateway or the site's settings."""
    base = outputs(document, site, receiver, facts)
    moved = {target for row in rows for target in (*row.fhir, *row.hl7v2)}
    return tuple(sorted({*base.fhir_targets(), *base.hl7v2_targets()} - moved))


def _dropped_together(document: Json, wanted: Iterable[Leaf], base: Outputs, mapped: Mapper) -> frozenset[Leaf]:
    """Find the leaves that the tables of losses have in both languages, if nothing moves when all of them change.

    Where something moves, none is returned: each must then be tried by itself.
    """
    listed = [one for one in wanted if is_alone(one) and all(is_lost(table, one.pattern) for table in _LOSSES)]
    for probe in joint_probes(document, listed, _is_valid):
        try:
            if any(base.differences(mapped(probe, like=base))):
                return frozenset()
        except WireError:
            return frozenset()
    return frozenset(listed)


def _is_valid(document: Json) -> bool:
    try:
        decoded(document)
    except WireError:
        return False
    return True


def _row(  # noqa: PLR0913 (what is known of a leaf)
    document: Json, leaf: Leaf, base: Outputs, mapped: Mapper, receiver: Receiver, *, is_dropped: bool
) -> TraceRow:
    moved, hidden = (set[str](), []) if is_dropped else _moved_with_hidden(document, leaf, base, mapped)
    fhir, hl7v2 = _by_language(moved, base)
    silent = [
        (name, table)
        for name, table, found in (("FHIR", FHIR_LOSSES, fhir), ("HL7 v2", HL7V2_LOSSES, hl7v2))
        if not found
    ]
    losses = tuple(f"{name}: {reason}" for name, table in silent if (reason := loss(table, leaf.pattern, receiver)))
    kind = _kind(leaf, moved, base)
    return TraceRow(leaf.pointer, fhir, hl7v2, kind, rules_of((*fhir, *hl7v2)), tuple(hidden), losses)


def _row_of_message(stated: MovedByMessage, base: Outputs) -> TraceRow:
    fhir, hl7v2 = _by_language(stated.moved, base)
    if any(issue.pointer == stated.pointer for issue in base.issues):
        kind: Class = "normalised"
    else:
        kind = "exact" if stated.is_exact else "derived"
    return TraceRow(stated.pointer, fhir, hl7v2, kind if stated.moved else "dropped", rules_of((*fhir, *hl7v2)))


def _by_language(moved: AbstractSet[str], base: Outputs) -> tuple[tuple[str, ...], tuple[str, ...]]:
    fhir = tuple(sorted(target for target in moved if "." in target or target in base.types()))
    return fhir, tuple(sorted(moved - set(fhir)))


def _moved_with_hidden(document: Json, leaf: Leaf, base: Outputs, mapped: Mapper) -> tuple[set[str], list[str]]:
    """Return the targets of a leaf, and the patterns of the leaves that outrank it for some of them."""
    moved = _moved_outputs(document, leaf, base, mapped)
    hidden: list[str] = []
    for pattern, context in contexts(document, leaf):
        try:
            other = mapped(context, like=base)
        except WireError:
            continue
        more = _moved_outputs(context, leaf, other, mapped) - moved
        if more:
            hidden.append(pattern)
            moved |= more
    return moved, hidden


def _moved_outputs(document: Json, leaf: Leaf, base: Outputs, mapped: Mapper) -> set[str]:
    moved: set[str] = set()
    for probe in probes(document, leaf):
        try:
            moved.update(base.differences(mapped(probe, like=base)))
        except WireError:
            continue
    return moved


def _kind(leaf: Leaf, moved: set[str], base: Outputs) -> Class:
    if not moved:
        return "dropped"
    if any(issue.pointer == leaf.pointer for issue in base.issues):
        return "normalised"
    return "exact" if base.holds(leaf.value, moved) else "derived"
