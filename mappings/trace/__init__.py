"""Find the FHIR elements and HL7 v2 fields that each value in AutoScribe's JSON affects, by changing each value.

Carries out no clause of a standard; decision D6. Each leaf of a study's JSON gets other values of its own kind,
everything is mapped again, and every output that differs is a target of the leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

from mappings.issues import WireError
from mappings.model import Facts
from mappings.profile import Receiver, Site
from mappings.reuse import Remembered, Reuse
from mappings.trace.losses import FHIR_LOSSES, HL7V2_LOSSES, loss
from mappings.trace.outputs import LANGUAGES, Language, Outputs, decoded, outputs, outputs_of
from mappings.trace.probes import Leaf, Trial, contexts, joint_probes, leaves, probes, renamed, valid_values
from mappings.trace.rules import rules_of
from mappings.trace.settings import MovedByMessage, moved_by_messages

Json = Mapping[str, Any]
Class = Literal["exact", "normalised", "derived", "dropped"]
Mapper = Callable[..., Outputs]
_NO_FACTS: Final = Facts()
_LOSSES: Final[dict[Language, Mapping[str, str]]] = {"FHIR": FHIR_LOSSES, "HL7 v2": HL7V2_LOSSES}

__all__ = ["Class", "TraceRow", "defaulted", "trace"]


@dataclass(frozen=True, slots=True)
class TraceRow:
    """FHIR elements and HL7 v2 fields (targets) that one JSON value (leaf) of AutoScribe affects.

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


def trace(  # noqa: PLR0913 (all that outputs depend on, and two means to save work)
    document: Json,
    site: Site,
    receiver: Receiver,
    facts: Facts = _NO_FACTS,
    *,
    is_wanted: Callable[[str], bool] = lambda _: True,
    languages: Collection[Language] = LANGUAGES,
) -> tuple[TraceRow, ...]:
    """Trace the wanted leaves of a study document: the Study's JSON with its `reports` and `users`.

    Each message of a hospital that stated something of an answered order has a row too (D48). A row has targets only of
    the languages asked for.

    Raises:
        WireError: the document violates the upstream contract.
    """
    reuse = Remembered()
    mapped = partial(outputs, site=site, receiver=receiver, facts=facts, reuse=reuse)
    base = mapped(document)
    wanted = [leaf for leaf in leaves(document) if is_wanted(leaf.pointer)]
    measured = _Measured(document, base, mapped, languages)
    moving = _moving(measured, wanted, receiver, reuse)
    rows = [_row(leaf, *measured.moved_with_hidden(leaf, moving[leaf]), base, receiver) for leaf in wanted]
    if facts.orders:
        again = partial(outputs_of, base.study, site, receiver, like=base, languages=languages)
        stated = moved_by_messages(base, lambda other: again(facts=other), facts)
        rows += [_row_of_message(one, base) for one in stated]
    return tuple(rows)


def defaulted(
    document: Json, rows: Iterable[TraceRow], site: Site, receiver: Receiver, facts: Facts = _NO_FACTS
) -> tuple[str, ...]:
    """Return the targets that no leaf changes: the gateway or the site's settings set them."""
    base = outputs(document, site, receiver, facts)
    moved = {target for row in rows for target in (*row.fhir, *row.hl7v2)}
    return tuple(sorted({*base.fhir_targets(), *base.hl7v2_targets()} - moved))


@dataclass(frozen=True, slots=True)
class _Measured:
    """Document with its outputs, and the function that maps changed ones; `by_name` caches what a renaming moved."""

    document: Json
    outputs: Outputs
    mapped: Mapper
    languages: Collection[Language]
    by_name: dict[str, set[str]] = field(default_factory=dict)

    def moved_by(self, other: Json, languages: Collection[Language]) -> set[str]:
        """Return the targets that differ in another document; none if it violates the upstream contract."""
        try:
            return set(self.outputs.differences(self.mapped(other, like=self.outputs, languages=languages)))
        except WireError:
            return set()

    def _is_other(self, other: Json, language: Language) -> bool:
        try:
            return any(self.outputs.differences(self.mapped(other, like=self.outputs, languages=[language])))
        except WireError:
            return True

    def moved(self, leaf: Leaf, languages: Collection[Language]) -> set[str]:
        """Return the targets that differ with the other values of a leaf, or without it."""
        moved = set().union(*[self.moved_by(probe, languages) for probe in probes(self.document, leaf)])
        if not leaf.is_id:
            return moved
        name = str(leaf.value)
        if name not in self.by_name:
            self.by_name[name] = self.moved_by(renamed(self.document, name), self.languages)
        return moved | self.by_name[name]

    def moved_with_hidden(self, leaf: Leaf, languages: Collection[Language]) -> tuple[set[str], list[str]]:
        """Return the targets of a leaf, and the patterns of the leaves that outrank it for some of them."""
        moved = self.moved(leaf, languages) if languages else set()
        hidden: list[str] = []
        for pattern, context in contexts(self.document, leaf):
            try:
                mapped = self.mapped(context, like=self.outputs, languages=self.languages)
            except WireError:
                continue
            more = _Measured(context, mapped, self.mapped, self.languages).moved(leaf, self.languages) - moved
            if more:
                hidden.append(pattern)
                moved |= more
        return moved, hidden

    def unmoving(self, trials: Sequence[Trial], language: Language) -> list[Leaf]:
        """Return the leaves that change nothing in a language: try all changes at once, then each half."""
        if not any(self._is_other(probe, language) for probe in joint_probes(self.document, trials)):
            return [leaf for leaf, _ in trials]
        half = len(trials) // 2
        return [one for part in (trials[:half], trials[half:]) if half for one in self.unmoving(part, language)]


def _moving(
    measured: _Measured, wanted: Iterable[Leaf], receiver: Receiver, reuse: Reuse
) -> dict[Leaf, list[Language]]:
    """Return the languages, of those asked for, in which each leaf may change something.

    Those that the tables of losses have are tried together: mostly nothing moves, and none of them is tried by itself.
    """
    is_valid = partial(_is_valid, reuse)
    moving = {leaf: list(measured.languages) for leaf in wanted}
    trials: dict[Leaf, Trial] = {}
    for language in measured.languages:
        table = _LOSSES[language]
        listed = [leaf for leaf in moving if leaf.is_alone and loss(table, leaf.pattern, receiver)]
        for leaf in listed:
            trials[leaf] = trials.get(leaf) or (leaf, tuple(valid_values(measured.document, leaf, is_valid)))
        for leaf in measured.unmoving([trials[leaf] for leaf in listed], language):
            moving[leaf].remove(language)
    return moving


def _is_valid(reuse: Reuse, document: Json) -> bool:
    try:
        decoded(document, reuse)
    except WireError:
        return False
    return True


def _row(leaf: Leaf, moved: set[str], hidden: Iterable[str], base: Outputs, receiver: Receiver) -> TraceRow:
    fhir, hl7v2 = _by_language(moved, base)
    silent = [(name, _LOSSES[name]) for name, found in zip(LANGUAGES, (fhir, hl7v2), strict=True) if not found]
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


def _kind(leaf: Leaf, moved: set[str], base: Outputs) -> Class:
    if not moved:
        return "dropped"
    if any(issue.pointer == leaf.pointer for issue in base.issues):
        return "normalised"
    return "exact" if base.holds(leaf.value, moved) else "derived"
