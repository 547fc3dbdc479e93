"""Table of order controls: the effect that each ORC-1 has on an order, for some by its status ORC-5.

HL7 v2.5.1 §4.5.1.1 (ORC-1, table 0119), §4.5.1.5 (ORC-5, table 0038)
"""

from __future__ import annotations

from typing import Final

from mappings.hospital.events import InboundIssueCode, OrderEffect

# HL7 table 0119 Order Control Codes. A request of the placer to cancel (CA) or to discontinue (DC) counts as done: the
# placer's own record ends with it, the filler's answer (CR, DR) goes to the placer and seldom comes here, and a report
# that is held wrongly is seen, while one that goes to an ended order may be filed nowhere. Where the filler cannot do
# it (UC, UD, UM), the order stands as it was. Requests to hold and to release change no order, and neither do answers
# to a placer about refills, holds and errors.
EFFECTS: Final[dict[str, OrderEffect]] = {
    # New orders, and orders that stand
    "NW": "open",
    "SN": "open",
    "RO": "open",
    "PA": "open",
    "CH": "open",
    "UC": "open",
    "UD": "open",
    "UM": "open",
    # Content or numbers
    "OK": "change",
    "XO": "change",
    "NA": "number",
    # Ends
    "CA": "cancel",
    "OC": "cancel",
    "CR": "cancel",
    "DC": "cancel",
    "OD": "cancel",
    "DR": "cancel",
    "UA": "cancel",
    "RP": "replaced",
    "RU": "replaced",
    "RQ": "replaced",
    # No order changes
    "HD": "nothing",
    "OH": "nothing",
    "HR": "nothing",
    "UH": "nothing",
    "RL": "nothing",
    "OE": "nothing",
    "OR": "nothing",
    "UR": "nothing",
    "UN": "nothing",
    "UX": "nothing",
    "AF": "nothing",
    "DF": "nothing",
    "FU": "nothing",
    "OF": "nothing",
    "RF": "nothing",
    "UF": "nothing",
    "OP": "nothing",
    "PY": "nothing",
    "CN": "nothing",
    "DE": "nothing",
    "LI": "nothing",
    "PR": "nothing",
    "RE": "nothing",
    "RR": "nothing",
    "SS": "nothing",
}
# Order controls of table 0119 by which a filler tells a status or a change: ORC-5 says which, and only a filler
# originates it (§4.5.1.5). Without ORC-5 a status message changes nothing.
_BY_STATUS: Final[dict[str, OrderEffect]] = {"SC": "nothing", "SR": "nothing", "XX": "change", "XR": "change"}
# HL7 table 0038 Order Status
STATUS_EFFECTS: Final[dict[str, OrderEffect]] = {
    "A": "change",
    "CA": "cancel",
    "CM": "change",
    "DC": "cancel",
    "ER": "nothing",
    "HD": "change",
    "IP": "change",
    "RP": "cancel",
    "SC": "change",
}
ORDER_CONTROLS: Final = frozenset({*EFFECTS, *_BY_STATUS})


def order_effect(control: str, status: str) -> tuple[OrderEffect, InboundIssueCode | None]:
    """Return the effect of an ORC-1 with its ORC-5, and the code of an issue, if there is one.

    An end that only a placer's message tells in ORC-5, which is not its field, is an issue, and no end.
    """
    if control in _BY_STATUS:
        if status and status not in STATUS_EFFECTS:
            return _BY_STATUS[control], "order-status-unknown"
        is_missing = not status and _BY_STATUS[control] == "nothing"
        return STATUS_EFFECTS.get(status, _BY_STATUS[control]), "order-status-missing" if is_missing else None
    effect = EFFECTS.get(control)
    if effect is None:
        return "nothing", "order-control-unknown" if control else "order-control-missing"
    ends = STATUS_EFFECTS.get(status) == "cancel"
    return effect, "order-status-contradicts" if ends and effect in ("open", "change", "number") else None
