"""The orders that a study answers: accession and placer order numbers, from where a site keeps them.

HL7 v2.5.1 §4.5.3.2 (OBR-2), §4.5.3.18 (OBR-18), https://hl7.org/fhir/R4/servicerequest.html, decision D18. AutoScribe
has no field for either: a site names the keys of `Study.metadata` that hold them, and AutoScribe's PACS may have said
the accession number when it asked for the study's details.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Study
from mappings.profile import Receiver, Site


@dataclass(frozen=True, slots=True)
class Order:
    """One order; a number that is not known is empty. `pointer` is where the numbers stand in the study document."""

    accession_number: str = ""
    placer_order_number: str = ""
    pointer: str = "/metadata"


def orders(study: Study, site: Site, facts: Facts) -> tuple[tuple[Order, ...], tuple[MappingIssue, ...]]:
    """The orders of a study, at least one: accession numbers with the placer order numbers that go with them.

    Several are read as one report. Numbers are paired by position, and only where there are as many of both.
    """
    accessions = tuple(dict.fromkeys((*_numbers(study, site.accession_keys, site), *_said(facts.accession_number))))
    placers = tuple(_numbers(study, site.placer_keys, site))
    issues: tuple[MappingIssue, ...] = ()
    if len(placers) > 1 and len(placers) != len(accessions):
        action = f"{len(placers)} placer order numbers, {len(accessions)} accession numbers: no placer is said"
        issues = (MappingIssue("placer-unpaired", "warning", "/metadata", action),)
        placers = ()
    if len(placers) == 1 and len(accessions) > 1:
        placers *= len(accessions)
    found = tuple(Order(*pair, _pointer(site)) for pair in zip_longest(accessions, placers, fillvalue=""))
    return found or (Order(),), issues


def wanted_orders(
    known: tuple[Order, ...], cause: Cause, receiver: Receiver
) -> tuple[tuple[Order, ...], tuple[MappingIssue, ...]]:
    """The orders that one message is about; none, with the reason, where it must be held (D18)."""
    wanted = known
    issues: tuple[MappingIssue, ...] = ()
    if receiver.accessions == "messages" and len(known) > 1:
        wanted = tuple(order for order in known if order.accession_number == cause.accession_number)
        if not wanted:
            action = "the cause names none of the study's accession numbers: no message of its own"
            return (), (MappingIssue("accession-unknown", "error", known[0].pointer, action),)
    if receiver.accessions == "first" and len(known) > 1:
        wanted = known[:1]
        action = f"the first order only, {len(known) - 1} more are not said"
        issues = (MappingIssue("accessions-left-out", "warning", known[0].pointer, action),)
    missing = [
        MappingIssue(f"{what}-missing", "error", order.pointer, "the receiver requires it: held until it is known")
        for order in wanted
        for what, is_missing in (
            ("accession", receiver.accession == "required" and not order.accession_number),
            ("placer", receiver.placer_required == "on" and not order.placer_order_number),
        )
        if is_missing
    ]
    return ((), tuple(missing)) if missing else (wanted, issues)


def _numbers(study: Study, keys: Iterable[str], site: Site) -> Iterator[str]:
    for key in keys:
        value = study.metadata.get(key, "")
        for part in value.split(site.number_separator) if site.number_separator else (value,):
            yield from _said(part)


def _said(text: str | None) -> tuple[str, ...]:
    stripped = (text or "").strip()
    return (stripped,) if stripped else ()


def _pointer(site: Site) -> str:
    """The place of the first named key, `~` and `/` as RFC 6901 §3 has them."""
    if not site.accession_keys:
        return "/metadata"
    return f"/metadata/{site.accession_keys[0].replace('~', '~0').replace('/', '~1')}"
