"""Find the FHIR elements and HL7 v2 fields that each setting, and each message of a hospital, affects.

Carries out no clause of a standard; decisions D6, D39 and D48. Each setting of the site, of the facilities in its
reports, and of the receiver's profile gets other values, one at a time; every output that differs is a target of the
setting. A hospital's message stands in the trace where a leaf of AutoScribe's JSON has its pointer:
`order:EPIC/MSG0001`, the source and MSH-10.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from mappings.model import AnsweredOrder, Facts, HospitalMessageName, StatedNumber
from mappings.profile import AssigningAuthority, Facility, Receiver, Site, exact
from mappings.profile.directory import NO_PROVIDERS
from mappings.profile.facility import NAME_ORDERS, NO_DETAILS
from mappings.profile.vista import NO_VISTA
from mappings.reuse import Remembered
from mappings.study.orders import message_pointer
from mappings.trace.outputs import LANGUAGES, Language, Outputs, outputs, outputs_of

Json = Mapping[str, Any]
_LONG: Final = 60
_OTHER_AUTHORITY: Final = AssigningAuthority("urn:oid:2.999.1", "OTHER")
_NOT_SET: Final[tuple[Any, ...]] = ("", (), {}, NO_VISTA, NO_PROVIDERS, NO_DETAILS)
_NEVER: Final = re.compile(r"(?!)")
# Field of the site -> other allowed values. Not measured are `site_key`, a secret, and `receivers`: profiles, of which
# one is selected
_SITE: Final[dict[str, tuple[Any, ...]]] = {
    "default_facility": (None,),
    "mrn_authority": ("hash", "facility", "receiver"),
    "express_customers": ({},),
    "sending_application": ("OTHER",),
    "sending_facility": ("OTHER",),
    "receiving_application": ("OTHER",),
    "receiving_facility": ("OTHER",),
    "processing_id": ("P", "T", "D"),
    "accession_keys": ((),),
    "placer_keys": ((),),
    "number_separator": ("", ","),
    "accession_authority": (None, _OTHER_AUTHORITY),
    "placer_authority": (None, _OTHER_AUTHORITY),
    "send_drafts": (True, False),
    "on_cancelled_after_sign": ("hold", "withdraw"),
    "on_conflict": ("send", "hold"),
    "procedures": ({},),
    "procedure_fallbacks": ({},),
    "providers": (NO_PROVIDERS,),
    "provider_authority": (None, _OTHER_AUTHORITY),
    "vista": (NO_VISTA,),
}
_FACILITY: Final[dict[str, tuple[Any, ...]]] = {
    "time_zone": (None, ZoneInfo("Pacific/Apia")),
    "name_order": (None, *NAME_ORDERS),
    "mrn": (None, _OTHER_AUTHORITY),
    "external_patient_id": (None, _OTHER_AUTHORITY),
    "mrn_pattern": (None, _NEVER),
    "accession": (None, _OTHER_AUTHORITY),
    "placer": (None, _OTHER_AUTHORITY),
    "visit": (None, _OTHER_AUTHORITY),
    "account": (None, _OTHER_AUTHORITY),
    "code": (None, "OTHER"),
    "dicomweb": ("", "https://other.example/dicom-web"),
    "viewer": ("", "https://other.example/?studyUID={studyUID}"),
    "organization": (NO_DETAILS,),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting with its value in short and its targets; `key` is `mapping.sending_facility` or `receiver.obx14`.

    A setting of a facility is `mapping.facilities[City Medical Center].name_order`.
    """

    key: str
    value: str
    moves: frozenset[str]


def settings(
    document: Json, site: Site, receiver: Receiver, facts: Facts, languages: Collection[Language] = LANGUAGES
) -> tuple[Setting, ...]:
    """Find every setting that changes an output of a study document in one of these languages.

    Raises:
        WireError: the document violates the upstream contract.
    """
    reuse = Remembered()
    base = outputs(document, site, receiver, facts, reuse=reuse)
    mapped = partial(outputs_of, base.study, like=base, reuse=reuse)

    def moved(changed: Site | Receiver) -> Iterator[str]:
        if isinstance(changed, Site):
            other = mapped(changed, receiver, facts, languages=languages)
        else:
            other = mapped(site, changed, facts, languages=["HL7 v2"])
        return base.differences(other)

    moving = []
    # No resource of FHIR depends on the receiver
    of_receiver = _receiver_trials(receiver) if "HL7 v2" in languages else ()
    for key, value, trials in (*_site_trials(site), *_facility_trials(document, site), *of_receiver):
        moves = {target for changed in trials for target in moved(changed)}
        if moves:
            moving.append(Setting(key, _short_text(value), frozenset(moves)))
    return tuple(moving)


_Tried = tuple[str, Any, list[Site | Receiver]]


def _site_trials(site: Site) -> Iterator[_Tried]:
    for name, values in _SITE.items():
        own = getattr(site, name)
        yield f"mapping.{name}", own, [replace(site, **{name: one}) for one in values if one != own]


def _facility_trials(document: Json, site: Site) -> Iterator[_Tried]:
    """Try the settings of each facility that a report of the study, or the study itself, names."""
    named = {facility.name: facility for name in _facility_names(document) if (facility := site.facility(name))}
    for facility in named.values():
        for name, values in _FACILITY.items():
            own = getattr(facility, name)
            changed = [replace(facility, **{name: one}) for one in values if one != own]
            key = f"mapping.facilities[{facility.name}].{name}"
            yield key, own, [_with_facility(site, facility, one) for one in changed]


def _facility_names(document: Json) -> Iterator[str]:
    places = [report.get("snapshotMetadata") for report in document.get("reports", ())]
    for place in (*places, document.get("reportMetadata")):
        name = (place or {}).get("facilityName")
        if isinstance(name, str):
            yield name


def _with_facility(site: Site, facility: Facility, changed: Facility) -> Site:
    names = {exact(name) for name in (facility.name, *facility.aliases)}
    known = {name: changed if name in names else one for name, one in site.facilities.items()}
    default = changed if site.default_facility == facility else site.default_facility
    return replace(site, facilities=known, default_facility=default)


def _receiver_trials(receiver: Receiver) -> Iterator[_Tried]:
    for switch in fields(receiver):
        own = getattr(receiver, switch.name)
        values: tuple[Any, ...] = switch.metadata.get("values", ())
        if "range" in switch.metadata:
            values = switch.metadata["range"]
        elif "keys" in switch.metadata:
            values = ((),)
        elif switch.metadata and not values:
            values = ("", "OTHER")
        yield (
            f"receiver.{switch.name}",
            own,
            [replace(receiver, **{switch.name: value}) for value in values if value != own],
        )


def _short_text(value: Any) -> str:
    """Shorten a value to one line; of a table, give the number of rows."""
    if value is None or value in _NOT_SET:
        return "not set"
    if isinstance(value, AssigningAuthority):
        text = f"{value.namespace or 'without a namespace'} ({value.system})"
    elif isinstance(value, Mapping):
        text = f"{len(value)} rows"
    elif isinstance(value, Facility):
        text = value.name
    elif isinstance(value, re.Pattern):
        text = str(value.pattern)
    elif is_dataclass(value):
        text = "set"
    else:
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


@dataclass(frozen=True, slots=True)
class MovedByMessage:
    """Targets that one message moves; `is_exact`: one of them has a number of the message as it came."""

    pointer: str
    moved: frozenset[str]
    is_exact: bool


def moved_by_messages(base: Outputs, mapped: Callable[[Facts], Outputs], facts: Facts) -> Iterator[MovedByMessage]:
    """Yield each message that stated something of the answered orders, with the targets that it moves."""
    names = [name for order in facts.orders for name in _messages(order)]
    for name in dict.fromkeys(names):
        without = replace(facts, orders=tuple([_without(order, name) for order in facts.orders]))
        moved = frozenset(base.differences(mapped(without)))
        numbers = {number.value for order in facts.orders for number in _numbers(order, name) if number}
        is_exact = any(base.holds(value, moved) for value in numbers)
        yield MovedByMessage(message_pointer(name), moved, is_exact)


def _messages(order: AnsweredOrder) -> tuple[HospitalMessageName, ...]:
    return (order.message, order.visit.message) if order.visit else (order.message,)


def _without(order: AnsweredOrder, name: HospitalMessageName) -> AnsweredOrder:
    """Return the order without what a message stated."""
    if order.visit and order.visit.message == name:
        order = replace(order, visit=None)
    if order.message == name:
        return AnsweredOrder(order.order_number, visit=order.visit, message=order.message)
    return order


def _numbers(order: AnsweredOrder, name: HospitalMessageName) -> tuple[StatedNumber | None, ...]:
    own = (order.placer, order.filler, order.accession) if order.message == name else ()
    visit = order.visit if order.visit and order.visit.message == name else None
    return (*own, visit.number, visit.account) if visit else own
