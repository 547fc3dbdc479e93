"""Map the order numbers (accession, placer, filler), and a hospital's numbers at large, to FHIR identifiers.

https://hl7.org/fhir/R4/datatypes.html#Identifier, table 0203 (ACSN, PLAC, FILL), decisions D18, D48. The number of a
hospital's order has the authority that the hospital names. Where neither the facility nor the site names one for
another number, it stands under a system of the gateway's own.
Proved by tests/mappings/fhir/test_service_request.py and tests/mappings/fhir/test_diagnostic_report.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mappings.codes import SID_ACCESSION, SID_PLACER_ORDER
from mappings.fhir.datatypes import Json, identifier, line
from mappings.fhir.scene import Scene
from mappings.model import StatedNumber
from mappings.patient.added import stated_system
from mappings.study.orders import Order


def accession_identifier(order: Order, scene: Scene) -> Json | None:
    """Identifier of an order's accession number, or None if it is unknown."""
    value, answered = line(order.accession_number), order.answered
    if value and answered and answered.accession and answered.accession.value == order.accession_number:
        return stated_identifier(answered.accession, "ACSN")
    authority = scene.site.order_authority("accession", scene.facility)
    return identifier(authority.system if authority else SID_ACCESSION, value, "ACSN") if value else None


def placer_identifier(order: Order, scene: Scene) -> Json | None:
    """Identifier of an order's placer order number, or None if it is unknown."""
    value, answered = line(order.placer_order_number), order.answered
    if value and answered and answered.placer:
        return stated_identifier(answered.placer, "PLAC")
    authority = scene.site.order_authority("placer", scene.facility)
    return identifier(authority.system if authority else SID_PLACER_ORDER, value, "PLAC") if value else None


def filler_identifier(order: Order) -> Json | None:
    """Identifier of the filler order number of a hospital's order, or None; OBR-3 of the gateway is another number."""
    filler = order.answered.filler if order.answered else None
    return stated_identifier(filler, "FILL") if filler and line(filler.value) else None


def stated_identifier(number: StatedNumber, type_code: str) -> Json:
    """Identifier of a hospital's number, under its authority."""
    return identifier(stated_system(number), line(number.value) or number.value, type_code)


def accession_identifiers(orders: Sequence[Order], scene: Scene) -> list[Json]:
    """Identifiers of all orders' accession numbers."""
    return _each_once(accession_identifier(order, scene) for order in orders)


def placer_identifiers(orders: Sequence[Order], scene: Scene) -> list[Json]:
    """Identifiers of all orders' placer order numbers, each once."""
    return _each_once(placer_identifier(order, scene) for order in orders)


def _each_once(identifiers: Iterable[Json | None]) -> list[Json]:
    known = [one for one in identifiers if one]
    return list({(one["system"], one["value"]): one for one in known}.values())
