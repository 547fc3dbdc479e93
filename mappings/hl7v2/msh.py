"""Write the MSH segment, the message header.

HL7 v2.5.1 §2.15.9.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.datatypes import hd
from mappings.hl7v2.er7 import ENCODING_CHARACTERS, Table, components, value
from mappings.hl7v2.result import Result
from mappings.hl7v2.versions import WITHOUT_MESSAGE_STRUCTURE, layouts

# HL7 table 0155 Accept/Application Acknowledgment Conditions: MSH-15, MSH-16 <- receiver.ack_mode
HL70155: Final[dict[str, tuple[str, str]]] = {
    "original": ("", ""),
    "commit": ("AL", "NE"),
    "two_phase": ("AL", "AL"),
}


def msh_4_sending_facility(result: Result) -> str:
    """MSH-4 Sending Facility <- the facility's code, else the site's sending_facility, else snapshot.facilityName.

    HL7 v2.5.1 §2.15.9.4. A facility of the site's table is never sent as free text.
    """
    facility = result.facility
    configured = (facility.code if facility else None) or result.site.sending_facility
    if configured:
        return hd(configured)
    return result.fit("MSH", 4, value(result.snapshot.facility_name), result.at_snapshot("facilityName"))


def msh_7_date_time_of_message(result: Result) -> str:
    """MSH-7 Date/Time of Message <- the time of rendering, in the receiver's `dtm` form.

    HL7 v2.5.1 §2.15.9.7: its zone is the default of all times of the message.
    """
    return result.dtm(result.at)


def msh_9_message_type(result: Result) -> str:
    """MSH-9 Message Type <- ORU^R01, with the message structure unless version or receiver lacks it.

    HL7 v2.5.1 §2.15.9.9.
    """
    if result.receiver.msh9_3 == "off" or result.receiver.version in WITHOUT_MESSAGE_STRUCTURE:
        return components("ORU", "R01")
    return components("ORU", "R01", "ORU_R01")


def msh_18_character_set(result: Result) -> str:
    """MSH-18 Character Set <- receiver.charset, table 0211.

    HL7 v2.5.1 §2.15.9.18. It is written in every version, since the bytes need it. v2.3 has 6 characters for it and no
    Unicode, which is an issue of each message.
    """
    return result.fit("MSH", 18, result.receiver.charset, "")


MSH: Final[Table[Result]] = {
    2: ENCODING_CHARACTERS,
    3: lambda result: hd(result.receiver.sending_application or result.site.sending_application),
    4: msh_4_sending_facility,
    5: lambda result: hd(result.receiver.receiving_application or result.site.receiving_application),
    6: lambda result: hd(result.receiver.receiving_facility or result.site.receiving_facility),
    7: msh_7_date_time_of_message,
    9: msh_9_message_type,
    10: lambda result: value(result.control_id),
    11: lambda result: result.site.processing_id,
    12: lambda result: result.receiver.version,
    15: lambda result: HL70155[result.receiver.ack_mode][0],
    16: lambda result: HL70155[result.receiver.ack_mode][1],
    18: msh_18_character_set,
}
MSH_LAYOUTS: Final = layouts(MSH, "MSH")
