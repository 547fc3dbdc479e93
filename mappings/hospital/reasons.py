"""Reasons for which a study has no order, as stable codes with a plain sentence for each.

Carries out no clause of a standard: decision D48 demands that a match that is held or refused says why.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Verdict = Literal["matched", "none", "refused", "held"]
"""Result of matching a study.

- `matched`: the study answers the orders.
- `none`: no order is known for it.
- `refused`: orders have its numbers, but belong to another study.
- `held`: the numbers and the patient contradict each other, or more than one answer fits. An operator must decide.
"""


class Reason(NamedTuple):
    """Verdict that a reason gives, and the sentence for an operator."""

    verdict: Verdict
    sentence: str


CANCELLED: Final = "order-cancelled"
RELEASED: Final = "released"
FACILITY_UNKNOWN: Final = "facility-unknown"
REASONS: Final[dict[str, Reason]] = {
    FACILITY_UNKNOWN: Reason("none", "No table of the settings has the facility's name: its numbers match nothing."),
    "no-number": Reason("none", "The study gives no order number whose authority the settings name."),
    RELEASED: Reason("none", "An operator decided that the study goes without an order."),
    "no-order": Reason("none", "No known order has one of the study's numbers."),
    "accession-reused": Reason("refused", "The number was that of an order of another time: it was used again."),
    CANCELLED: Reason("held", "The order was cancelled or replaced, and no other order takes its place."),
    "cancel-in-doubt": Reason(
        "held", "The accession number was cancelled, and nothing exact shows if the order is meant."
    ),
    "several-groups": Reason("held", "Orders of several patients have the numbers, and nothing exact decides."),
    "keys-disagree": Reason("held", "The study's numbers belong to different orders."),
    "patient-number-differs": Reason("held", "The order is for another patient number of the same authority."),
    "patient-conflict": Reason("held", "Name, birth date or sex of the order cannot be those of the study's patient."),
    "identity-conflict": Reason("held", "Reports of the study or of other studies dispute whose study it is."),
    "group-contradictory": Reason("held", "The orders under the study's numbers describe two people as one patient."),
    "merge-held": Reason("held", "The patient's number is part of a merge that is held."),
    "study-uid-differs": Reason(
        "held", "The order names another study UID, and nothing shows that the patient agrees."
    ),
    "order-match-changed": Reason(
        "held", "The study's numbers find other orders than those of messages that were made: these stay."
    ),
}
"""Code -> verdict and sentence. A code never changes its meaning."""
