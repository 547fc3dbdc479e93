"""Receiver profile: settings for the form of HL7 v2 messages to one kind of receiver, and rules to check messages.

HL7 v2.5.1 §2.15.9 (MSH), §4.5.3 (OBR), §7.4.2 (OBX) for the fields that the switches decide; decision D34. The profiles
of this package are `mappings/hl7v2/receivers/*.toml`; a site's own starts from one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final

from mappings.profile.rule import Rule


def _switch(doc: str, values: str) -> Any:
    """Declare a switch with the values between the bars; the first is the default."""
    allowed = tuple(values.split("|"))
    return field(default=allowed[0], metadata={"doc": doc, "values": allowed})


def _text(doc: str) -> Any:
    return field(default="", metadata={"doc": doc})


def _number(doc: str, default: int, lowest: int, highest: int) -> Any:
    return field(default=default, metadata={"doc": doc, "range": (lowest, highest)})


def _map(doc: str, keys: Mapping[str, tuple[str, ...]], *, with_pattern: bool = False) -> Any:
    """Declare a table with these keys, each with its allowed values."""
    return field(default=(), metadata={"doc": doc, "keys": keys, "with_pattern": with_pattern})


# Key of `status_map` -> allowed codes: HL7 v2.5.1 tables 0123 and 0085, and no code that claims more than is true.
# An unsigned report is never called final; a signed, corrected or withdrawn one is never kept back or called a draft
STATUS_CODES: Final[dict[str, tuple[str, ...]]] = {
    "P": ("P", "R", "none"),
    "F": ("F",),
    "C": ("C", "F"),
    "A": ("A",),
    "W": ("W", "void"),
}
_ACKNOWLEDGED: Final = dict.fromkeys(
    ("AA", "AE", "AR", "CA", "CE", "CR"), ("delivered", "retry", "hold_lane", "dead_letter")
)


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver profile. Each field except `name`, `proof` and `rules` is a switch, whose first value is the default.

    `proof` names the software that the profile was tested with, or the documents that it was written from.
    """

    name: str
    proof: str = ""
    version: str = _switch("HL7 version (MSH-12), which decides the segments and fields", "2.5.1|2.3|2.3.1|2.4|2.5|2.7")
    sending_application: str = _text("MSH-3 Sending Application; empty: the site's")
    receiving_application: str = _text("MSH-5 Receiving Application; empty: the site's")
    receiving_facility: str = _text("MSH-6 Receiving Facility; empty: the site's")
    msh9_3: str = _switch("MSH-9.3 message structure", "on|off")
    charset: str = _switch("MSH-18; characters outside it are spelled out", "UNICODE UTF-8|8859/1|ASCII")
    escape: str = _switch(
        "escape sequences: all, all but \\F\\, or none, with plain text in place of delimiters", "full|no_F|strip"
    )
    dtm: str = _switch(
        "times: in the facility's zone if known, with their original offset, in UTC, or without offset",
        "local|offset|utc|no_offset",
    )
    obx14: str = _switch("OBX-14 of the report's lines: the time of the study, or of the signature", "study|signed")
    pid3_plain: str = _switch("PID-3 as the bare number, without authority and type", "off|on")
    xpn_type: str = _switch("PID-5.7 name type; off: without a patient name the message is held", "on|off")
    vista_patient: str = _switch(
        "the patient's number in VistA: the DFN in PID-3, or the SSN, else station-DFN in PID-2; held without one",
        "off|dfn|ssn",
    )
    vista_exam: str = _switch(
        "OBR-3 is VistA's exam number (RADTI-RACNI^long case); without both numbers the message is held",
        "off|required",
    )
    interpreter: str = _switch(
        "OBR-32: the signer by NPI, else local id; by local id, else NPI; or only by name, as FAMILY,GIVEN",
        "npi|local_id|name",
    )
    modality_table: str = _switch("code of OBR-24: of HL7 table 0074, of DICOM, or `RAD` always", "hl70074|dicom|RAD")
    visit_indicator: str = _switch("PV1-51 `V`: visit level", "off|on")
    placer_required: str = _switch("without a placer order number (OBR-2) nothing is sent", "off|on")
    accession: str = _switch("without an accession number the message is held", "optional|required")
    accession_field: str = _switch("field of the accession number: OBR-18, OBR-20, or OBR-3", "18|20|3")
    accessions: str = _switch(
        "several accession numbers: an OBR each, a message each, the first only", "groups|messages|first"
    )
    obr4: str = _switch(
        "OBR-4: the examination as the report names it, or of the hospital's order, with the report's as alternate",
        "report|order",
    )
    text: str = _switch(
        "the report: a TX for each line, a TX for each section, one FT, one TX with repetitions, an ST for each line",
        "tx_lines|tx_sections|ft|tx_repeat|st_lines",
    )
    blank_line: str = _switch("an empty line: one blank, an empty OBX-5, or left out", "space|empty|omit")
    wrap: str = _switch("longest line of the report, in characters", "none|75|80")
    obx3_style: str = _switch(
        "OBX-3: LOINC codes; LOINC with &GDT and &IMP; R^REPORT^L and I^IMPRESSION^L; LOINC with &R and &I; or"
        " only R^REPORT^L",
        "loinc|gdt_imp|va|va_suffix|va_report",
    )
    uid: str = _switch(
        "the Study Instance UID: in ZDS-1, in an OBX 113014, in both, nowhere", "zds|obx113014|both|none"
    )
    uid_type: str = _switch("OBX-2 of the Study Instance UID", "ST|HD")
    viewer: str = _switch(
        "the address of the facility's viewer (`mapping.facilities.viewer`): nowhere, or in an OBX of type RP", "off|rp"
    )
    zsegments: str = _switch("segments that are not of the standard", "on|off")
    vitals: str = _switch("height and weight as OBX of type NM", "off|on")
    critical: str = _switch(
        "a critical result: OBX-8 `AA`, not marked, OBX-8 as CE, that and OBX-15, or an NTE",
        "obx8_is|none|obx8_ce|obx15_rid|nte",
    )
    critical_code: str = _text("OBX-15 of a critical result (CE), where `critical` is `obx15_rid`")
    nte: str = _switch(
        "NTE: none, the disclaimer after OBR, technologist notes after OBX, or both", "none|disclaimer|notes|both"
    )
    disclaimer: str = _text("the text of the NTE after OBR")
    addendum: str = _switch(
        "an addendum: all reports again, only the addendum as `A`, or an order of its own", "replace|append|new_order"
    )
    addendum_obx3: str = _switch(
        "OBX-3 of an addendum's text: as the impression, or as an addendum (55107-7, `&ADT`)", "impression|addendum"
    )
    send_drafts: str = _switch("unsigned reports as preliminary, if the site sends drafts", "off|on")
    status_map: tuple[tuple[str, str], ...] = _map(
        "this receiver's OBR-25 codes, `none`: not sent; `W`: OBX-11 of withdrawn text, `void`: a notice replaces it",
        STATUS_CODES,
    )
    pdf: str = _switch(
        "the PDF: none, in OBX as ED, as a link (RP), or ED in a message and under a filler order number of its own",
        "none|ed|rp|separate_message",
    )
    pdf_max: int = _number("largest PDF that is sent, in bytes", 10 * 2**20, 1024, 2**30)
    ack_mode: str = _switch("MSH-15 and -16: original mode, commit only, or two-phase", "original|commit|two_phase")
    ack_table: tuple[tuple[str, str], ...] = _map(
        "meaning of an acknowledgement: by MSA-1, or by MSA-1, a blank and a regular expression for ERR-3.1 or MSA-3",
        _ACKNOWLEDGED,
        with_pattern=True,
    )
    retry: int = _number("seconds before a message is tried again, doubled each time", 5, 1, 3600)
    rate_limit: int = _number("maximum messages per second; 0 is no limit", 0, 0, 10_000)
    window: int = _number("connections at one time, each with its own lanes", 1, 1, 64)
    keepalive: int = _number("seconds between TCP keep-alives; 0 is none", 60, 0, 7200)
    idle_close: int = _number(
        "seconds without a message after which the connection is closed; 0 is never", 0, 0, 86_400
    )
    tls: str = _switch("TLS on the connection", "optional|required")
    rules: tuple[Rule, ...] = ()

    @property
    def takes_pdf(self) -> bool:
        """True if its messages contain the bytes of the PDF."""
        return self.pdf in {"ed", "separate_message"}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rule that two switches cannot work together: the first to check, the test, the reason and the remedy."""

    key: str
    is_there: Callable[[Receiver], bool]
    problem: str
    remedy: str


# HL7 v2.3 table 0211 has no Unicode
_WITHOUT_UNICODE: Final = frozenset({"2.3"})
CONFLICTS: Final = (
    Conflict(
        "version",
        lambda receiver: receiver.version in _WITHOUT_UNICODE and receiver.charset == "UNICODE UTF-8",
        "HL7 v2.3 knows no Unicode in MSH-18",
        'Write charset = "8859/1" or "ASCII".',
    ),
    Conflict(
        "escape",
        lambda receiver: receiver.escape == "strip" and receiver.text == "ft",
        "formatted text needs the escape sequence \\.br\\ that this receiver cannot read",
        'Write text = "tx_lines" or "st_lines".',
    ),
    Conflict(
        "escape",
        lambda receiver: receiver.escape == "strip" and receiver.nte != "none",
        "an NTE of several lines needs the escape sequence \\.br\\ that this receiver cannot read",
        'Write nte = "none".',
    ),
    Conflict(
        "uid",
        lambda receiver: receiver.uid in ("zds", "both") and receiver.zsegments == "off",
        "the ZDS segment is not of the standard, and zsegments is off",
        'Write uid = "obx113014" or "none", or zsegments = "on".',
    ),
    Conflict(
        "critical_code",
        lambda receiver: (receiver.critical == "obx15_rid") is not bool(receiver.critical_code.strip()),
        "critical = obx15_rid and critical_code go together",
        "Write the code, such as RID49480^Category 1 Emergent Actionable Finding^RadLex, or another `critical`.",
    ),
    Conflict(
        "disclaimer",
        lambda receiver: (receiver.nte in ("disclaimer", "both")) is not bool(receiver.disclaimer.strip()),
        "a disclaimer and nte = disclaimer or both go together",
        "Write both or neither.",
    ),
    Conflict(
        "accession_field",
        lambda receiver: receiver.accession_field == "3" and receiver.accession == "optional",
        "without an accession number a report would be filed under another number",
        'Write accession = "required".',
    ),
    Conflict(
        "vista_exam",
        lambda receiver: receiver.vista_exam == "required" and receiver.accession_field == "3",
        "OBR-3 cannot be both the exam and the accession number",
        'Write accession_field = "18" or "20", or vista_exam = "off".',
    ),
    Conflict(
        "version",
        lambda receiver: receiver.version == "2.7" and receiver.vista_patient == "ssn",
        "HL7 v2.7 has no PID-2, which is the patient's number where no Social Security number is known",
        'Write version = "2.4".',
    ),
    Conflict(
        "vista_patient",
        lambda receiver: receiver.vista_patient != "off" and receiver.pid3_plain == "on",
        "pid3_plain and vista_patient both say what PID-3 is",
        'Write pid3_plain = "off", or vista_patient = "off".',
    ),
    Conflict(
        "accessions",
        lambda receiver: (
            (receiver.accession_field, receiver.accessions) == ("3", "messages")
            and (receiver.addendum == "new_order" or receiver.pdf == "separate_message")
        ),
        "an addendum or PDF with a number of its own would have the same in the message of each order",
        'Write accessions = "groups" or "first", or another `addendum` and `pdf`.',
    ),
    Conflict(
        "addendum_obx3",
        lambda receiver: receiver.addendum_obx3 == "addendum" and receiver.obx3_style == "va",
        "the observation identifiers of VistA have none for an addendum",
        'Write addendum_obx3 = "impression", or another obx3_style.',
    ),
    Conflict(
        "send_drafts",
        lambda receiver: receiver.send_drafts == "on" and ("P", "none") in receiver.status_map,
        "drafts are asked for, and status_map has no code for them",
        'Write send_drafts = "off", or leave out P.',
    ),
)


def conflicts(receiver: Receiver) -> list[Conflict]:
    """Find the switches of a profile that cannot work together, whatever its rules are."""
    return [one for one in CONFLICTS if one.is_there(receiver)]


def switches() -> dict[str, Field[Any]]:
    """Map every switch by name, in the order of the class; `metadata` has its `doc` and `values`, `range` or `keys`."""
    return {one.name: one for one in fields(Receiver) if "doc" in one.metadata}


def written_as(value: str | int | tuple[tuple[str, str], ...]) -> str:
    """Write a switch's value in TOML."""
    if isinstance(value, tuple):
        return f"{{ {', '.join(f'{key} = {written_as(code)}' for key, code in value)} }}"
    return str(value) if isinstance(value, int) else f'"{value}"'
