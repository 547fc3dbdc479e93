"""MSH, the message header.

HL7 v2.5.1 §2.15.9.
"""

from __future__ import annotations

from typing import Final

from mappings.dates import dtm_instant
from mappings.hl7v2.datatypes import hd
from mappings.hl7v2.er7 import ENCODING_CHARACTERS, Table, value
from mappings.hl7v2.result import Result


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
    """MSH-7 Date/Time of Message <- the time of rendering, always with its offset.

    HL7 v2.5.1 §2.15.9.7: its zone is the default of all times of the message.
    """
    return dtm_instant(result.at)


MSH: Final[Table[Result]] = {
    2: ENCODING_CHARACTERS,
    3: lambda result: hd(result.site.sending_application),
    4: msh_4_sending_facility,
    5: lambda result: hd(result.site.receiving_application),
    6: lambda result: hd(result.site.receiving_facility),
    7: msh_7_date_time_of_message,
    9: "ORU^R01^ORU_R01",
    10: lambda result: value(result.control_id),
    11: lambda result: result.site.processing_id,
    12: lambda result: result.receiver.version,
    18: lambda result: result.receiver.charset,
}
