"""Messages of hospitals' systems, written anew with invented data in the manner of each, and the rules to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from zoneinfo import ZoneInfo

from mappings.hl7v2.inbound import SourceRules, read_hospital_message
from mappings.hl7v2.received import read
from mappings.hospital.events import Authority, HospitalMessage, IssuedNumber

MERCY = Authority("MERCY", "2.16.840.1.113883.3.7", "ISO")
EPC = Authority("EPC")
RIS = Authority("RIS")
VISITS = Authority("MERCYVN")
SOURCE = SourceRules(
    zone=ZoneInfo("America/Chicago"), charset="8859/1", authorities=(MERCY, EPC, RIS, VISITS, Authority("HNAM_ORDERID"))
)


def segment(name: str, fields: Mapping[int, str], *, separator: str = "|") -> str:
    """Write a segment from its fields by number."""
    return separator.join([name, *(fields.get(number, "") for number in range(1, max(fields, default=0) + 1))])


def header(message_type: str, charset: str = "UNICODE UTF-8", at: str = "20260105101502-0600") -> str:
    """Write the MSH of a message, as v2.5.1 has it."""
    return rf"MSH|^~\&|EPIC|MERCY|RIS|MERCY|{at}||{message_type}|1|P|2.5.1||||||{charset}"


def message(*segments: str) -> str:
    """Join segments to a message."""
    return "".join(f"{one}\r" for one in segments)


def taken_from(sent: str | bytes, source: SourceRules = SOURCE, **rules: object) -> HospitalMessage:
    """Read a message by the rules of a source, of which some may be changed."""
    payload = sent if isinstance(sent, bytes) else sent.encode()
    return read_hospital_message(read(payload), replace(source, **rules))


def order_message(*segments: str, message_type: str = "ORM^O01", charset: str = "UNICODE UTF-8") -> str:
    """Write an order message with a patient and the segments."""
    return message(header(message_type, charset), "PID|1||E1^^^MERCY^MR", *segments)


def merge_message(event: str, *segments: str) -> str:
    """Write a merge message with the segments."""
    return message(header(f"ADT^{event}"), f"EVN|{event}|20260105101400-0600", *segments)


def mrn(value: str, type_code: str = "MR") -> IssuedNumber:
    """Return a patient number of the hospital."""
    return IssuedNumber(value, MERCY, type_code)


# v2.3.1, times without offset, LF, no MSH-18, numbers of one clinician in repetitions, a social security number
EPIC_ORM = message(
    r"MSH|^~\&|EPIC|MERCY|RIS|MERCY|20260105101502||ORM^O01|7781|P|2.3.1",
    "PID|1||E4477^^^MERCY^MR~000-11-2222^^^USSSA^SS||O'HARA^MARY^ANN^^^^L||19610309|F|||12 ELM ST^^DES MOINES^IA",
    segment(
        "PV1",
        {
            1: "1",
            2: "O",
            3: "ED^12^A^MERCY",
            7: "1457^HOLT^PETER^^^DR^MD^^MERCY^^^^EI~1528000001^HOLT^PETER^^^DR^MD^^NPI^^^^NPI",
            8: "1900^REYES^ANA",
            19: "900771^^^MERCYVN^VN",
        },
    ),
    segment(
        "ORC",
        {1: "NW", 2: "4455667^EPC", 7: "^^^20260105110000^^S", 9: "20260105101500", 10: "77^CLERK^JO", 12: "1457^HOLT"},
    ),
    segment(
        "OBR",
        {
            1: "1",
            2: "4455667^EPC",
            4: "IMG2001^CT CHEST WITH CONTRAST^EAP",
            13: r"chest pain \T\ dyspnea",
            18: "ACC0042",
            24: "CT",
            31: r"R07.9^Chest pain\.br\rule out PE^I10~^Dyspnea",
        },
    ),
    r"NTE|1||Patient has\.br\a pacemaker.",
    "ZDS|1.2.840.113619.2.1.42^EPIC^Application^DICOM",
).replace("\r", "\n")
# v2.3, a status, local authority of orders, an own number type, umlauts in ISO 8859-1, a birth date that does not exist
CERNER_ORM = message(
    r"MSH|^~\&|HNAM|HOSP|PACS|RAD|202601051015||ORM^O01|Q100|P|2.3||||||8859/1",
    "PID|0001|998|00123^^^MERCY^MRN|998|MÜLLER^JÖRG||19700230|M",
    "PV1|0001|I|4W^401^02",
    segment("ORC", {1: "SC", 2: "881^HNAM_ORDERID", 3: "881-1^RIS", 5: "CM", 9: "20260105101400-0600"}),
    segment("OBR", {1: "0001", 2: "881^HNAM_ORDERID", 3: "881-1^RIS", 4: "71020^XR Chest 2 Views", 20: "XR-26-8"}),
).encode("iso8859-1")
# v2.4, a local patient class, the same number of placer and filler, a header with a date alone
MEDITECH_ORM = message(
    r"MSH|^~\&|MT|COCMERCY|AS|RAD|20260105||ORM^O01|RAD.88|P|2.4",
    segment("PID", {1: "1", 3: "M000123^^^MERCY^MR", 5: "SMITH^JOHN^^JR", 7: "1950", 8: "M", 18: "A500^^^MERCY^AN"}),
    "PV1|1|IN|2SOUTH^210^1",
    "ORC|CA|0105:RA01^EPC|0105:RA01^RIS||CA",
    "OBR|1|0105:RA01^EPC|0105:RA01^RIS|CHEST2^CHEST PA AND LAT^L",
)
# v2.5.1 as IHE has it: two orders with procedure steps, authorities in full, fractions of a second
IHE_OMI = message(
    r"MSH|^~\&|OF|MERCY|IM|RAD|20260105101502.1234-0600||OMI^O23^OMI_O23|55|P|2.5.1||||||UNICODE UTF-8",
    "PID|1||E4477^^^MERCY&2.16.840.1.113883.3.7&ISO^MR||GARCÍA&DE^JOSÉ^^^^^L||19610309|M",
    segment("PV1", {1: "1", 2: "E", 19: "88^^^MERCYVN"}),
    segment("ORC", {1: "NW", 2: "P1^EPC", 3: "F1^RIS", 4: "G7^EPC", 9: "20260105101500-0600", 12: "7^LEE^SUE"}),
    "TQ1|1||||||||S^STAT^HL70485",
    segment("OBR", {1: "1", 2: "P1^EPC", 3: "F1^RIS", 4: "CTCH^CT Chest^L", 24: "CT"}),
    "IPC|A1^RIS|RP1^RIS|1.2.3.4^RIS|SPS1^RIS|CT",
    "IPC|A1^RIS|RP1^RIS|1.2.3.4^RIS|SPS2^RIS|CT",
    "ORC|NW|P2^EPC|F2^RIS|G7^EPC",
    segment("OBR", {1: "2", 2: "P2^EPC", 3: "F2^RIS", 4: "CTAB^CT Abdomen^L", 24: "CT"}),
    "IPC|A2^RIS|RP2^RIS|1.2.3.5^RIS|SPS3^RIS|CT",
)
# v2.5.1, an order with a result of before: an OBR without ORC, and its own PID
MIRTH_OMG = message(
    header("OMG^O19^OMG_O19"),
    "PID|1||E1^^^MERCY^MR",
    "ORC|NW|P1^EPC",
    "OBR|1|P1^EPC||CTCH^CT Chest^L",
    "NTE|1||for the order",
    "OBX|1|TX|GFR||60",
    "NTE|1||for the result",
    "OBR|2|P0^EPC||XR^X-ray^L",
    "PID|1||E1^^^MERCY^MR",
    "ORC|NW|P8^EPC",
    "OBR|1|P8^EPC",
)


def visit_message(event: str, pv1: Mapping[int, str] | None = None) -> str:
    """Write a visit message."""
    usual = {
        1: "1",
        2: "I",
        3: "4W^401^02^MERCY&1.2&ISO",
        7: "1457^HOLT^PETER",
        8: '""',
        19: "V77^^^MERCYVN",
        44: "202601040815-0600",
        45: "20260106120000-0600",
    }
    return message(
        header(f"ADT^{event}^ADT_A01"),
        f"EVN|{event}|202601051014-0600||||20260105101300-0600",
        segment("PID", {1: "1", 3: "E1^^^MERCY^MR", 5: "DOE^JANE", 7: "19800101", 8: "F", 18: "A9^^^MERCY^AN"}),
        segment("PV1", {**usual, **(pv1 or {})}),
    )
