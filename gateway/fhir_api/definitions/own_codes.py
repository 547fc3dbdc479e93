"""Tables of the codes that the gateway defines itself: of its errors and answers, its mapping issues, its commands.

https://hl7.org/fhir/R4/codesystem.html: the concepts of a CodeSystem, as literal data. The errors are those of the tree
of gateway/runtime/errors.py.
Proved by tests/gateway/fhir_api/definitions/test_own_codes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.runtime.errors import GatewayError

# Code of an OperationOutcome -> meaning; the codes of errors come from the classes of errors
ANSWER_CODES: Final[Mapping[str, str]] = {
    "count-cut": "The page size asked for is over the limit.",
    "cut": "More faults were found than are shown.",
    "explanation": "How the answer was found, as `_explain` asks.",
    "fhir-kind": "A value is of another kind than its element.",
    "http": "The request breaks a rule of HTTP.",
    "identity-conflict": "The data about a patient contradict each other: a study is held apart.",
    "includes-cut": "More resources would be included than the limit allows.",
    "index-incomplete": "Not all of AutoScribe is in the index, or the index is old: more may exist.",
    "index-only": "The search was answered from the index alone.",
    "internal": "The gateway failed.",
    "no-faults": "The resource has no faults.",
    "no-such-address": "There is nothing at this address.",
    "no-writes": "Resources are made in AutoScribe and cannot be written here.",
    "not-read-back": "The operation was carried out; AutoScribe does not show it yet.",
    "other-id": "The id in the resource is not the one of the address.",
    "page-emptied": "Whatever was on this page has changed since the search began.",
    "parameter-ignored": "A search parameter that is not known was not used.",
    "suppressed": "A resource is not served, since it breaks a rule of FHIR.",
    "total-unknown": "The matches could not be counted in time.",
    "unknown-code": "No resource can have the code that the search names.",
    "upstream-not-understood": "AutoScribe's answer does not follow its contract.",
}

# Code of a mapping issue -> meaning
MAPPING_CODES: Final[Mapping[str, str]] = {
    "accession-conflict": "Two sources name different accession numbers for the study.",
    "accession-missing": "The receiver requires an accession number, and none is known.",
    "accession-reused": "An accession number was that of an order of another time: it was used again.",
    "accession-unknown": "The cause of a message names none of the study's accession numbers.",
    "accessions-left-out": "The receiver takes one order, and the study has several.",
    "accessions-together": "One message is about several orders.",
    "addendum-merged": "An addendum contains its whole report.",
    "addendum-parent-unclear": "It is not known which report an addendum belongs to.",
    "addendum-without-original": "An addendum's original is not known, not signed, or of another patient.",
    "authority-unknown": "It is not known whose number the MRN is.",
    "birth-date-after-study": "The birth date is after the study date.",
    "birth-date-impossible": "The birth date is no date of the calendar.",
    "cancelled-after-sign": "The study was cancelled after a report was signed.",
    "character-removed": "A control character was removed.",
    "character-replaced": "A character became a line break.",
    "characters-transliterated": "Characters that the receiver's character set lacks are spelled with others.",
    "critical-disagrees": "The critical flags of study and report differ.",
    "critical-without-text": "A critical report has no text.",
    "cursor-absent": "A page of AutoScribe does not say what follows.",
    "delimiters-replaced": "Delimiters of HL7 v2 in a value became plain characters.",
    "draft-after-final": "A draft follows a signed report.",
    "draft-patient-unclear": "It is not known which patient a draft is about.",
    "draft-shown": "The text of an unsigned report is shown.",
    "element-not-understood": "A row of a page of AutoScribe does not follow its contract.",
    "exam-missing": "The receiver requires an exam number, and none is known.",
    "exam-unpaired": "There are not as many VistA exams as orders.",
    "facility-default": "The facility is not named, or not known: another one of the settings stands for it.",
    "fhir-att-1": "An attachment with data has no content type.",
    "fhir-attachment-hash": "The hash of an attachment is not the one of its data.",
    "fhir-attachment-size": "The size of an attachment is not the one of its data.",
    "fhir-base64": "A value is not base64.",
    "fhir-binding": "A code is outside its required value set.",
    "fhir-contained": "A resource contains others.",
    "fhir-empty": "An element is empty.",
    "fhir-ext-1": "An extension has neither a value nor extensions, or both.",
    "fhir-mandatory": "A mandatory element is missing.",
    "fhir-narrative": "The narrative is not of the allowed form.",
    "fhir-obs-6": "An Observation has a value and a reason for its absence.",
    "fhir-per-1": "A period ends before it starts.",
    "fhir-reference": "A reference is not of the allowed form or type.",
    "fhir-resource-type": "The resource is of a type that is not served.",
    "fhir-string": "A string is empty or has characters that are not allowed.",
    "fhir-structure": "The structure is not the one of the resource type.",
    "fhir-uri": "A value is not a URI.",
    "fhir-vs-1": "A vital sign has no date of at least a day.",
    "filler-order-left": "What was filed under a filler order number of a part of the study stays there.",
    "identifier-doubtful": "A patient number looks like no number of its facility.",
    "identifier-placeholder": "A patient number is a placeholder.",
    "identifier-system-unknown": "It is not known whose a patient number is.",
    "identity-conflict": "The data about a patient contradict each other.",
    "identity-conflict-held": "The data about a patient contradict each other: the message is held.",
    "identity-decided": "An operator said whose report it is.",
    "instant-unreadable": "A moment cannot be read.",
    "key-absent": "A key that AutoScribe promises is absent.",
    "list-for-single": "AutoScribe gave a list where one report was asked for.",
    "measurement-impossible": "Height or weight is outside the possible limits.",
    "measurement-undated": "It is not known when height or weight was measured.",
    "modality-unknown": "The modality has no DICOM code here.",
    "mrn-absent": "The report has no MRN.",
    "name-absent": "The receiver requires a patient name, and there is none.",
    "npi-invalid": "An NPI has a wrong check digit.",
    "null-value": "A value that AutoScribe promises is null.",
    "order-not-visible": "AutoScribe no longer names the order that a signed report was filed under.",
    "order-unknown": "No order is known for a number of the study.",
    "patient-differs-in-study": "Reports of one study describe the patient differently.",
    "patient-from-study": "A report does not describe its patient: the study's stands for it.",
    "patient-name-absent": "The patient has no name.",
    "patient-renamed": "A patient has another name than in an earlier study.",
    "pdf-superseded": "The PDF of a report is older than its text.",
    "placer-missing": "The receiver requires a placer order number, and none is known.",
    "placer-unpaired": "There are not as many placer order numbers as accession numbers.",
    "procedure-absent": "The report names no procedure.",
    "procedure-ambiguous": "Several codes of the procedure dictionary fit.",
    "procedure-modality-differs": "The codes of the procedure dictionary are for other modalities.",
    "procedure-not-coded": "The procedure is not in the dictionary.",
    "provenance-undated": "No moment is known for a Provenance.",
    "report-absent": "The report that caused the message is gone.",
    "report-missing": "The study names a report that AutoScribe did not give.",
    "report-not-signed": "The report is not signed: nothing is sent.",
    "report-not-visible": "AutoScribe no longer lists a report.",
    "report-repeated": "AutoScribe gave the same report twice.",
    "report-text-absent": "A signed report has no text.",
    "sections-not-found": "No sections are marked in the text.",
    "sex-unknown-code": "The sex is a code that FHIR does not have.",
    "signed-at-absent": "A signed report has no time of signing.",
    "signed-at-unexpected": "An unsigned report has a time of signing.",
    "signed-report-unsigned": "AutoScribe shows a signed report as unsigned.",
    "signed-value-not-visible": "AutoScribe no longer shows a value of a signed report.",
    "single-for-list": "AutoScribe gave one report where a list was asked for.",
    "status-not-received": "The receiver takes no report of this status.",
    "status-unknown": "The status of the report is not known.",
    "study-date-too-late": "The study date is in the future, or after the signature.",
    "study-external": "The study was read outside AutoScribe.",
    "study-time-ambiguous": "The time of the study occurs twice on that day, or not at all.",
    "study-time-impossible": "The time of the study is no time of day.",
    "study-uid-differs": "An order names another study instance UID.",
    "study-uid-not-an-oid": "The UID of the study is no OID.",
    "study-value-not-visible": "AutoScribe no longer shows a value of a study.",
    "text-too-long": "A text is too long for a FHIR string.",
    "time-zone-unknown": "The time zone of the facility is not known.",
    "unit-unknown": "The unit of height or weight is not known.",
    "unknown-code": "AutoScribe gave a code that its contract does not have.",
    "unknown-key": "AutoScribe gave a key that its contract does not have.",
    "unsigned-critical-withheld": "The critical flag of an unsigned report is withheld.",
    "unsigned-text-withheld": "The text of an unsigned report is withheld.",
    "us-core-1": "The effective date is not precise to the day.",
    "us-core-10": "A report of this status has no effective date.",
    "us-core-17": "An NPI has a wrong check digit.",
    "us-core-2": "An Observation has neither a value nor a reason for its absence.",
    "us-core-6": "A name, or the data of an attachment, is missing.",
    "us-core-document-category": "A document has no category of US Core.",
    "us-core-document-type": "A document has no type of US Core.",
    "us-core-observation-category": "An Observation has no category of US Core.",
    "us-core-patient-identifier": "An identifier of a Patient has no system or no value.",
    "us-core-pd-1": "A PractitionerRole has neither a telecom nor an endpoint.",
    "us-core-practitioner-family": "The name of a Practitioner has no family name.",
    "us-core-practitioner-identifier": "An identifier of a Practitioner has no system or no value.",
    "us-core-provenance-1": "An agent of a Provenance acts for nobody.",
    "us-core-report-category": "A report has no category of US Core.",
    "user-last-name-absent": "The radiologist has no last name.",
    "user-unavailable": "The radiologist could not be asked for.",
    "user-unknown": "Nobody knows the radiologist.",
    "vista-patient-unknown": "The receiver requires a patient number of VistA, and none is known.",
    "withdrawal-patient-unclear": "It is not known which patient a withdrawal is about.",
    "withdrawn-unsent": "A report was withdrawn before it was sent.",
}

# The commands that the audit notes, as they are called
COMMANDS: Final = (
    *("audit export", "audit who", "clients add", "clients disable", "clients enable", "clients rotate", "explain"),
    *("feed ack", "feed apply", "feed backload", "feed pause", "feed replay", "feed resume", "feed retire"),
    *("feed show", "identity link", "identity separate", "migrate", "patients erase", "patients readmit"),
    *("rerender", "sync"),
)


def error_codes() -> dict[str, str]:
    """Return every code of an OperationOutcome with its meaning, those of errors by the first line of their class."""
    return dict(sorted({**dict(_of_errors(GatewayError)), **ANSWER_CODES}.items()))


def _of_errors(kind: type[GatewayError]) -> Iterator[tuple[str, str]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("gateway."):
            yield one.code, (one.__doc__ or "").partition("\n")[0]
            yield from _of_errors(one)
