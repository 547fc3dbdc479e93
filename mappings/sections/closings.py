"""Recognize closing lines of a report: signatures, attestations, workstations, transcription, page footers.

Carries out no clause of a standard: these lines, and how a radiologist signs, are customs. None of them is part of an
impression. `mappings.sections` puts them into an unlabeled section after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from mappings.sections.wording import BLANK, DATE, DECORATION, TIME, any_of, openers

# Keys of a signature block: they close a report only with a colon after them
_KEYS: Final = (
    *("performed by", "completed by", "scanned by", "prepared for", "exam completed", "exam ended", "gmc", "gmc no"),
    *("gmc number", "hcpc", "npi", "dictation workstation", "ordered by", "signature", "signatures"),
    *("electronic signature on file", "copy to", "copies to", "copies", "ordering dr", "referring dr"),
    *("validated by", "confirmed by", "released by", "checked by"),
    *("date of interpretation", "interpretation date", "interpretation time", "time of interpretation"),
    *("date of service", "date and time", "signature date", "time of report", "interpreting location", "facility"),
    *("report date", "date of report", "report date/time", "date reported", "report status", "report id"),
    *("wsn", "ws", "workstation", "work station", "workstation id", "workstation name", "reading workstation"),
    *("reading location", "reading site", "reading station", "interpretation location", "read at", "job", "job id"),
    *("job number", "voice job", "phone", "phone number", "callback number", "tel", "fax", "discrepancy"),
    *("discrepancy category", "discrepancy level", "discrepancy with preliminary report", "quality measure"),
    *("quality measures", "quality assurance", "qa", "mips", "mips measure", "pqrs", "qpp", "qpp measure"),
    *("performance measure", "performance measures", "peer review", "peer review score", "radpeer", "radpeer score"),
    *("preliminary interpretation", "preliminary read", "prelim read", "overnight preliminary interpretation"),
    *("resident preliminary interpretation", "resident preliminary read", "wet read"),
    *("teaching file", "turnaround time", "voice id", "powerscribe id", "license", "radpacs", "copies sent to"),
    *("faxed to", "prelim by"),
    *("document id", "accession", "accession number", "print date"),
    *("cpt", "cpt code", "cpt codes", "icd-9", "icd9", "icd 9", "icd-10", "icd10", "icd 10", "icd-10 code"),
    *("icd-10 codes", "icd codes", "icd-10-cm", "billing", "billing code", "charge code", "charge codes"),
    *("diagnosis code", "diagnosis codes", "diagnostic code", "primary diagnostic code", "procedure code"),
    *("procedure codes", "billing codes", "befundet von", "firmado por", "signé par", "validé par"),
)
# ... persons: "Primary Interpreting Staff", "Radiologist"
_ROLES: Final = (
    *("primary", "secondary", "ordering", "referring", "requesting", "reading", "reporting", "interpreting", "signing"),
    *("dictating", "attending", "supervising", "staff", "consultant", "responsible", "performing", "radiology"),
    *("verifying", "approving", "on-call", "teaching", "first", "second", "double", "resident", "fellow", "trainee"),
    *("senior", "junior"),
)
_PERSONS: Final = (
    *("radiologist", "radiologists", "physician", "provider", "clinician", "doctor", "practitioner", "staff"),
    *("attending", "resident", "resident/fellow", "fellow", "consultant", "registrar", "verifier", "reporter"),
    *("reader", "dictator", "technologist", "sonographer", "rvt", "rdms", "radiographer", "transcriptionist"),
    *("transcriber", "typist", "scribe", "cosigner", "co-signer"),
)
# ... acts with a date: "Date dictated", "Signed on", "Finalized date/time"
_DEEDS: Final = (
    *("signed", "e-signed", "dictated", "dictation", "transcribed", "transcription", "finalized", "finalised"),
    *("verified", "approved", "typed", "reported", "reviewed", "authorised", "authorized", "authenticated", "printed"),
    *("released", "resulted", "result released", "entered", "edited", "completed", "attested", "scribed", "cosigned"),
    *("co-signed", "countersigned", "faxed", "transmitted"),
)
# Headings of an attestation or a notice: with a colon after them, or alone on the line
_NOTICES: Final = (
    *("disclaimer", "confidentiality notice", "confidentiality statement", "confidentiality", "confidential"),
    *("report electronically signed", "electronic signature", "voice recognition disclaimer", "notice to patient"),
    *("notice to patients", "note to patient", "note to patients", "patient notice", "message to patient"),
    *("notice", "legal notice", "copyright"),
)
# Openings that need nothing after them
_OPENINGS: Final = (
    *("requested by", "reviewed by", "read by", "reported by", "interpreted by", "approved by"),
    *("authenticated by", "authorised by", "authorized by", "finalized by", "finalised by"),
    *("dictated by", "signed by", "transcribed by", "typed by", "attested by"),
    *("dictated and", "dictated but not", "read and", "reviewed and", "interpreted and", "pending review by"),
    *("preliminary read by", "preliminary report by", "wet read by", "prelim read by", "cosigned by", "co-signed by"),
    *("countersigned by", "electronically signed", "electronically authenticated", "electronically approved"),
    *("electronically verified", "electronically authorised", "electronically authorized", "electronically reviewed"),
    *("electronically finalized", "e-signed", "esigned", "digitally signed", "signed electronically", "not yet signed"),
    *("dictation software", "dictated using", "dictated with", "dictated on", "transcribed using", "this dictation"),
    *("workstation performed", "printed by", "printed on", "printed at", "page generated", "thank you for"),
    *("final interpretation by", "interpretation by", "interpretation provided by", "interpretation performed by"),
    *("report by", "interpreted at"),
    *("thanking you", "many thanks", "yours sincerely", "yours faithfully", "yours truly", "kind regards"),
    *("best regards", "with kind regards", "with thanks", "warm regards", "sincerely"),
    *("elektronisch signiert", "firmado electrónicamente", "signé électroniquement", "mit freundlichen"),
    *("mit kollegialen", "mit besten grüßen", "cordialement", "bien cordialement", "bien confraternellement"),
    *("atentamente",),
    *("un cordial saludo", "cordiali saluti", "distinti saluti", "atenciosamente", "met vriendelijke groet"),
    *("approved and", "thanks for referring", "thanks for your", "thanks for this", "we thank", "regards"),
    *("with best wishes", "best wishes", "preliminarily read", "final read by", "initial read by"),
    *("signature on file", "powered by", "created with", "generated with", "met collegiale groet", "generated by"),
    *("created by", "prepared by", "produced by"),
)
_DONE: Final = (
    r"(?:(?:electronically|digitally|personally|initially|subsequently|also)\s{1,3}){0,2}"
    r"(?:signed|dictated|transcribed|generated|created|prepared|produced|finali[sz]ed|approved|verified|authenticated"
    r"|reviewed|interpreted|completed|reported|read|typed|recorded|written (?:using|for)|authori[sz]ed|released|issued"
    r"|edited)"
)
_READS: Final = r"(?:has|have|personally|reviewed|agrees|was\spresent|interpreted)"
# Sentences of attestation and disclaimer
_SENTENCES: Final = (
    # "This report was electronically signed"; "This study was interpreted by", not "… in the light of the CT"
    rf"(?:this|(?:the\s)?above)\s(?:\w{{1,14}}\s)?(?:(?:report|document|dictation|transcription|note)"
    rf"\s(?:was|has|is)\s(?:not\s)?(?:been\s)?{_DONE}|(?:study|exam|examination)\s(?:was|has\sbeen)\s{_DONE}"
    r"\s(?:and\s\w{1,14}\s)?(?:by|at|on|electronically|using))",
    # "Portions of this report were generated by voice recognition software"
    r"(?:this\sis\s)?the\send\sof\s(?:this|the)\sreport",
    # "A copy of this report was faxed to Dr. A"
    r"a\scopy\sof\s(?:this|the)\sreport\s(?:was|has\sbeen|will\sbe)",
    r"(?:some\s)?(?:portions|parts)\sof\s(?:this|the)\s(?:report|document|dictation|note|record)",
    r"(?:please\s(?:excuse|disregard)\s(?:any\s)?)?(?:typographical|transcription(?:al)?|dictation)\serrors",
    r"(?:voice|speech)\srecognition\s(?:software|technology|system|dictation|program|was|transcription|disclaimer)",
    # "Verified by Dr. A", not "Verified by ultrasound"
    r"(?:verified|validated|confirmed|released|checked)\sby\s(?:dr|prof)\b",
    rf"(?:signed|finali[sz]ed|dictated|transcribed|approved|verified|authenticated|printed)\s(?:(?:on|at)\s)?{DATE}",
    # "Final report approved by", "The report has been electronically signed"
    rf"(?:final\s|preliminary\s)?report\s(?:was\s|has\sbeen\s)?{_DONE}",
    rf"the\s(?:final\s)?report\s(?:was|has\sbeen)\s(?:electronically|{_DONE}(?:\sand\s\w{{1,14}})?\s(?:by|on|at|using)\b)",
    # "I have personally reviewed the images", not "I have discussed the findings"
    r"i,?\s(?:have\s)?(?:personally|reviewed|read\sand|seen|interpreted|examined|attest|certify|agree|concur"
    r"|was\spresent|edited|was\spersonally|supervised|performed\sand|viewed|confirm)",
    # "I, Dr. A, attest"
    r"i,\s[^\n]{0,80}\b(?:reviewed|attest|present|agree|certify|personally|interpreted)",
    r"as\s(?:the\s|a\s)?(?:attending|teaching|supervising|staff)\s(?:radiologist|physician)",
    # "The attending radiologist, Dr. A, has reviewed", not "The attending was notified"
    r"the\s(?:attending|teaching|supervising|staff|undersigned)(?:\s(?:radiologist|physician|attending)){0,2}"
    rf"\s?(?:,[^,\n]{{1,50}},)?\s?{_READS}",
    r"(?:attending|staff|teaching\sphysician)\s(?:radiologist\s|physician\s)?(?:has\s|have\s)?"
    r"(?:personally|reviewed|agrees)\s",
    # "By electronically signing this report", "My signature below"
    r"(?:by\s(?:my\s)?(?:electronically\s|electronic\s)?(?:signing|signature)|my\s(?:electronic\s)?signature)",
    # "Images and report reviewed", "These images were reviewed by", "Case reviewed with the attending"
    r"(?:(?:all|the|these)\s)?(?:images|image)\sand\s(?:the\s)?(?:report|interpretation|resident)[^\n]{0,40}\breviewed",
    r"(?:(?:the|these|all)\s)?(?:case|study|exam|examination|images|films)\s(?:(?:was|were|(?:has|have)\sbeen)\s)?"
    r"(?:reviewed|interpreted|read|discussed)(?:,?\s(?:and\s)?\w{1,12}){0,2}"
    r"\s(?:by|with\s(?:the\s)?(?:attending|staff|teaching|resident))",
    r"(?:any\s)?questions\sregarding\sthis\s(?:report|exam)",
    # "If you have any questions, please call", "Please contact us with questions"
    r"(?:if\syou\shave|for)\s(?:any\s)?(?:further\s)?(?:questions|concerns)\b",
    r"please\s(?:call|contact|direct)\s[^\n]{0,60}\bquestions\b",
    # "This document contains confidential information", "If you have received this in error"
    r"if\syou\shave\sreceived\sthis",
    r"this\s(?:message|fax|communication|facsimile|document|report)\s(?:is|contains|and|may\scontain)"
    r"\s(?:\w+\s){0,3}(?:confidential|privileged|intended|protected)",
    r"(?:this|the)\s(?:information|contents)\s(?:in|of|contained|transmitted)\s"
    r"[^\n]{0,60}\b(?:confidential|privileged|intended)",
    # "This is a preliminary report", "Preliminary report only"
    r"this\sis\s(?:a|an)\s(?:preliminary|unofficial|draft|final|electronically\s\w{6,10})"
    r"\s(?:report|interpretation|read)",
    r"(?:preliminary|unofficial|draft)\s(?:report|interpretation|read)\s(?:only|by|pending|not|subject|-)",
    # "cc: Dr. A", "CC: Doe, Jane", not "CC: 12 mm"
    r"cc\s?:?\s?(?:dr|doctor|prof|to|file|gp|referring)\b|cc\s?:[^\n]{0,60}\bm\.?d\b",
    r"cc\s?:\s?(?-i:[A-Z][\w'-]+,\s[A-Z][\w.'-]+\s*$)",
    r"/s/",
    # "D: 02/03/2026 T: 02/03/2026"
    rf"(?:dd|td|dt|tt|d|t|d/t|dd/dt)\s?[:/]\s?{DATE}",
)
# Whole lines: the mark of an end, the title of the next part, a department
_WHOLE_LINES: Final = (
    r"(?:end\sof|end)\s(?:the\s)?(?:\w{1,12}\s)?(?:report|addendum|addenda|impression|dictation|document|transmission"
    r"|record|amendment)(?:\s?\#?\s?\d{1,2}|\sfor\s[^\n]{1,60})?",
    r"(?:report|impression)\sends?|end|final|thanks?(?:\syou)?,?|respectfully(?:\ssubmitted)?,?",
    r"signed|(?:draft\W{1,3}|report\s)?(?:not\s(?:yet\s)?signed|unsigned|unverified)|(?:unsigned\s)?draft",
    r"(?:(?:final|attending|staff)\s(?:review|report|read|interpretation|approval)|(?:pending|awaiting)"
    r"\s(?:final|attending|staff)\s(?:review|report|read|interpretation|approval))(?:\s(?:is\s)?(?:pending|to\sfollow))?",
    r"addend(?:um|a)\s(?:\#?\d{1,2}\s)?(?:ends?|complete)",
    r"(?:the\s)?(?:original|initial|previous|prior|amended|corrected|final|preliminary)\s(?:\w{1,12}\s)?"
    r"(?:report|dictation|interpretation|read)(?:\s(?:follows|begins|below|as\sfollows|text))?",
    r"original\s(?:text|findings\sfollow)",
    r"(?:radiologist|radiology|electronic|attending|physician)\ssignature(?:\son\sfile)?",
    r"(?:department|dept|division)\sof\s(?:diagnostic\s|medical\s)?(?:radiology|imaging)[^\n]{0,40}",
)
# ... and closings only at the end, since a page may break inside a section: a page number, a date and time
_FOOTERS: Final = (
    # "Page 1 of 2 - Confidential"
    r"page\s?\#?:?\s?\d{1,3}(?:\s?(?:of|/)\s?\d{1,3}(?:(?:\s?[^\w\s]|\s{2,})[^\n]{0,60})?)?",
    r"\d{1,3}\s(?:of|/)\s\d{1,3}",
    rf"(?:(?:date|time|on|at)\W{{0,3}})?{DATE}(?:[\s,]+(?:at\s)?{TIME})?",
    rf"time\W{{1,3}}{TIME}",
    r"confidential[^\n]{0,60}",
    # "Patient: DOE, JANE", "MRN: 1", "Exam #: 1"
    r"(?:patient(?:\sname|\sid)?|name|mrn|dob|date\sof\sbirth|acc|(?:exam|order|visit|account|result)"
    r"\s(?:\#|no\.?|number|id|date|status))\s?\#?\s?:[^\n]{0,100}",
)
# Remarks about technique or radiation dose: no part of an impression
_REMARKS: Final = (
    r"(?:dose|ctdi\s?\(?(?:vol)?\)?)\s?[:=]",
    # "Radiation dose reduction techniques were used"
    r"(?:radiation\s)?dose\s(?:reduction|modulation|optimi[sz]ation)\s[^\n:]{0,40}\b(?:was|were)\b",
    # "This CT was performed using automated exposure control"
    r"(?:this|all)\s(?:\w{1,14}\s){0,4}(?:exams?|examinations?|stud(?:y|ies)|scans?|cts?|procedures?)\s[^\n]{0,40}"
    r"\b(?:performed|acquired|obtained|done|use[sd]?)\b[^\n]{0,90}\b(?:dose|automated\sexposure|iterative\srecon)",
    r"one\sor\smore\sof\s[^\n]{0,60}\bdose\b[^\n]{0,60}\bused\b",
)
_MARGIN: Final = r"[\s*_#=~.<>|\]):-]*+$"
_LINE: Final = (
    rf"{DECORATION}{{0,24}}+(?P<words>"
    rf"(?:{any_of(_KEYS)}|(?:(?:{any_of(_ROLES)})\s){{0,3}}(?:{any_of(_PERSONS)})(?:['\u2019]s)?(?:\s(?:name|id|signature|initials))?"
    rf"|(?:(?:report|rpt)\s)?(?:(?:date/time|date|time)\s(?:of\s)?)?(?:{any_of(_DEEDS)})"
    r"(?:\s(?:date/time|datetime|date|time|on|by|at|id|job|location))?)"
    rf"(?:\s?\#?\s?\d{{1,5}}|\s?\#|\s?\([^()\n]{{0,20}}\))?(?={BLANK}{{0,3}}(?:[:\uff1a\]]|[-\u2013]\s))"
    rf"|(?:{any_of(_NOTICES)}"
    rf"|(?:(?:teaching|faculty|(?:{any_of(_ROLES)})|(?:{any_of(_PERSONS)}))(?:['\u2019]s)?\s){{0,3}}"
    rf"(?:attestation(?:\sstatement)?|(?<=\s)(?:statement|note|agreement|concurrence)))(?=[\s*_]{{0,4}}+(?:[:\uff1a]|$))"
    rf"|(?:{any_of(_OPENINGS)})(?![^\W_])"
    rf"|(?:(?:please\s)?note:?\s(?:that\s)?)?(?:{'|'.join(_SENTENCES)})"
    rf"|(?:{'|'.join(_WHOLE_LINES)})(?={_MARGIN})"
    rf"|(?P<footer>{'|'.join(_FOOTERS)})(?={_MARGIN})|(?P<remark>{'|'.join(_REMARKS)}))"
)
# First words of all closings, to skip other lines without matching them
CLOSERS: Final = openers(
    (
        *(*_KEYS, *_ROLES, *_PERSONS, *_DEEDS, *_NOTICES, *_OPENINGS, "please", "attestation", "faculty"),
        *("note", "this", "the", "above", "final", "preliminary", "report", "a", "any", "questions", "typographical"),
        *("transcriptional", "draft", "unsigned", "unverified", "not", "thanks", "thank", "respectfully", "pending"),
        *("awaiting", "patient", "name", "mrn", "dob", "acc", "order", "visit", "account", "result"),
        *("radiation", "dose", "ctdi", "ctdivol", "one"),
        *("i", "as", "by", "for", "rpt", "my", "all", "images", "image", "attending", "staff", "teaching", "if", "d"),
        *("t", "dd"),
        *("dt", "td", "tt", "end", "impression", "addendum", "addenda", "original", "initial", "previous", "prior"),
        *("amended", "corrected", "these", "case", "study", "exam", "examination", "films", "unofficial", "draft"),
        *("cc", "some", "portions", "parts", "voice", "speech", "verified", "validated", "confirmed", "released"),
        *("checked", "department", "dept", "division", "radiologist", "radiology", "electronic", "page", "physician"),
        *("confidential", "date", "time", "on", "at", "jan", "january", "feb", "february", "mar", "march", "apr"),
        *("april", "may", "jun", "june", "jul", "july", "aug", "august", "sep", "sept", "september", "oct"),
        *("october", "nov", "november", "dec", "december"),
    )
)
# Words that close with a colon after them
KEYS: Final = frozenset((*_KEYS, *_PERSONS, *_DEEDS, *_NOTICES, "patient", "name", "dose"))
# Beginnings of the second word after an article
_BEHIND: Final = {
    "the": frozenset(
        {
            *("above", "atten", "teach", "super", "staff", "under", "case ", "study", "exam ", "image", "films"),
            *("origi", "initi", "previ", "prior", "repor", "final", "infor", "conte"),
        }
    ),
    "a": frozenset({"copy "}),
}
# Sentence starts inside a line that may close: "No effusion. Electronically signed by"
_ENDED: Final = re.compile(
    r"\s(?<!\s\s)(?:(?:(?<=[.!?;)\]]\s)\s*+|\s++)(?=[A-Z/])"
    r"|(?=(?:Electronically|Digitally)\s[Ss]igned|(?:Dictated|Signed|Transcribed)\s[Bb]y))"
)
# Words of which every inline closing has one
_HINTS: Final = (
    *("signed", "dictated", "transcribed", "reviewed", "personally", "approved", "reported by", "interpreted by"),
    *("end of ", "attest"),
)


@cache
def _line() -> re.Pattern[str]:
    """Compile the pattern of closings on first use: it is slow, and most commands read no text."""
    return re.compile(_LINE, re.IGNORECASE)


class Closing(NamedTuple):
    """Words by which a line closes a report, and the conditions for it."""

    words: str
    is_footer: bool  # only if nothing follows it
    is_remark: bool  # only after an impression


def closing(line: str, first: str) -> Closing | None:
    """Match the words by which a stripped line closes a report; `first` is its first word."""
    if first and first not in CLOSERS:
        return None
    size = len(first)
    if first in _BEHIND and line[size + 1 : size + 6].lower() not in _BEHIND[first]:
        return None
    match = _line().match(line)
    return Closing(match["words"], match["footer"] is not None, match["remark"] is not None) if match else None


def hints(text: str) -> list[int]:
    """Positions inside lines that may close a report, the last first."""
    places = []
    if len(lower := text.lower()) != len(text):  # a letter such as \u0130 is two in lower case
        lower = text
    for hint in _HINTS:
        at = lower.find(hint)
        while at >= 0:
            places.append(at)
            at = lower.find(hint, at + 1)
    return sorted(places, reverse=True)


def inline_closings(line: str) -> Iterator[tuple[int, str]]:
    """Yield the positions at which sentences of a line close a report, with their words."""
    for gap in _ENDED.finditer(line):
        match = _line().match(line, gap.end())
        if match and not match["footer"] and not match["remark"] and match["words"][0].isupper():
            yield gap.end(), match["words"]


_ROLE: Final = (
    r"(?:(?i:consultant|attending|staff|senior|chief|reporting|diagnostic|interventional|specialist|board[ -]certified"
    r"|clinical|musculoskeletal|paediatric|pediatric|breast|neuro|locum|specialty|department|dept|of|in|resident|fellow"
    r"|registrar|physician|radiologist|radiology|neuroradiologist|teleradiologist|sonographer|trainee|imaging"
    r"|radiographer|reporter|director|electronically|signed))"
)
_READER: Final = r"(?i:(?:neuro|tele)?radiologist|registrar|radiographer|sonographer)(?!\w)"
_DEGREE: Final = (
    r"(?:M\.?\s?D\.?|D\.?O\.?|M\.?B\.?,?\s?(?:B\.?S\.?|Ch\.?B\.?|B\.?Ch\.?)|Ph\.?D\.?|M\.?P\.?H\.?|F\.?R\.?C\.?R\.?|FRANZCR"
    r"|F\.?R\.?C\.?P\.?C?\.?|FACR|FSIR|DABR|MRCP|MMed|MSc|BSc|DMRD|FFRRCSI|PA-C|RRA|RDMS|RVT|RPVI|RT\(R\)|DNB)"
)
# ... or the name of a site
_SITE: Final = (
    r"(?:Hospital|Infirmary|(?:Medical|Health|Imaging|Radiology)\s(?:Cent(?:er|re)|Associates|Group|Department))"
)
_NAME: Final = r"[^\W\d_a-z][\w.'\u2019-]{0,30}"
# Allowed after a name: "Consultant Radiologist", "GMC 1234567", "02/03/2026 10:15", "/ abc"
_BESIDE: Final = rf"(?:{_DEGREE}|{_ROLE}|GMC|AHPRA|NPI|{DATE}|(?i:{TIME})|\#?\d{{3,12}}|[A-Za-z]{{2,4}}$)"
# Whole lines such as "Dr A. Smith", "A. Smith, MD", "Consultant Radiologist", "Reporting Radiologist Dr A Smith"
_SIGNATURE: Final = re.compile(
    rf"[\s*_\-]{{0,60}}+(?:(?:Dr|DR|Prof|Professor|PROF)\.?\s{{1,2}}(?:med\.\s{{1,2}})?{_NAME}(?:\s{{1,2}}{_NAME}){{0,3}}"
    rf"|{_NAME}(?:,?\s{{1,2}}{_NAME}){{0,4}}?,?\s{{1,2}}(?:{_DEGREE}|{_SITE})(?!\w)"
    rf"|(?:{_ROLE}\s{{1,2}}){{0,3}}{_READER}(?:[\s:,-]{{1,3}}(?:Dr\.?\s)?{_NAME}(?:\s{{1,2}}{_NAME}){{1,3}})?)"
    rf"(?:[\s,;/()|\-\u2013]{{1,4}}{_BESIDE})*+[\s.)*_:]*$"
)
# "ABC/de", "abc/de"
_INITIALS: Final = re.compile(r"(?:[A-Z]{2,4}[/:]|[a-z]{2,3}/)[a-z]{2,4}\b[\s\d/:.-]*$")
_SHORT_FORM: Final = 20  # characters; initials are shorter
_SIGNATURE_LINE: Final = 100  # characters; a longer line is prose


def signs(line: str) -> bool:
    """True if a line is a name with a title or a degree, a radiologist's role, or initials."""
    is_sentence = line[-1] == "." and not line[-2:-1].isupper()  # but "M.D."
    if is_sentence or line[-1] == ":" or len(line) > _SIGNATURE_LINE:
        return False
    if line[0].islower():
        return len(line) < _SHORT_FORM and _INITIALS.match(line) is not None
    return bool(_SIGNATURE.match(line) or _INITIALS.match(line))
