"""Import point of the HL7 v2 mapping: oru_r01.py lists the messages that an event causes, and writes each.

HL7 v2.5.1 chapters 2, 3, 4 and 7. `to_oru` makes an ORU^R01, `messages` lists the messages of a cause, `receiver`
reads a profile of this package.
"""

from mappings.hl7v2.oru_r01 import filler_order_numbers, messages, messages_of_all, to_oru
from mappings.profile import RECEIVERS, receiver

__all__ = [
    "RECEIVERS",
    "filler_order_numbers",
    "messages",
    "messages_of_all",
    "receiver",
    "to_oru",
]
