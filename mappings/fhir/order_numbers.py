"""Map the placer order number and the accession number to FHIR identifiers.

https://hl7.org/fhir/R4/datatypes.html#Identifier, table 0203 (ACSN, PLAC), decision D18. If neither
the facility nor the site names their authority, they stand under systems of the gateway's own.
Proved by tests/mappings/fhir/test_service_request.py and tests/mappings/fhir/test_diagnostic_report.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from mappings.codes import SID_ACCESSION, SID_PLACER_ORDER
from mappings.fhir.datatypes import Json, identifier, line
from mappings.fhir.scene import Scene
from mappings.study.orders import Order


def accession_identifier(order: Order, scene: Scene) -> Json | None:
    """Identifier of an order's accession number, or None if it is unknown."""
    value = line(order.accession_number)
    authority = scene.site.order_authority("accession", scene.facility)
    return identifier(authority.system if authority else SID_ACCESSION, value, "ACSN") if value else None


def placer_identifier(order: Order, scene: Scene) -> Json | None:
    """Identifier of an order's placer order number, or None if it is unknown."""
    value = line(order.placer_order_number)
    authority = scene.site.order_authority("placer", scene.facility)
    return identifier(authority.system if authority else SID_PLACER_ORDER, value, "PLAC") if value else None


def accession_identifiers(orders: Sequence[Order], scene: Scene) -> list[Json]:
    """Identifiers of all orders' accession numbers."""
    return [one for order in orders if (one := accession_identifier(order, scene))]


def placer_identifiers(orders: Sequence[Order], scene: Scene) -> list[Json]:
    """Identifiers of all orders' placer order numbers, each once."""
    by_number = {order.placer_order_number: order for order in orders}
    return [one for order in by_number.values() if (one := placer_identifier(order, scene))]
