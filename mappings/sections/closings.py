"""The lines that close a report: signatures, attestations, workstations, transcription, page footers, end marks.

Carries out no clause of a standard: these lines are a custom of dictation systems and sites.

None of them is part of an impression. `mappings.sections` makes them the unlabelled section behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mappings.sections.wording import BLANK, DATE, DECORATION, TIME, any_of, openers

# Keys of a signature block: they close only with a colon behind them
_KEYS: Final = (
    *("performed by", "completed by", "scanned by", "prepared for", "exam completed", "exam ended", "gmc", "gmc no"),
    *("gmc number", "hcpc", "npi", "dictation workstation", "ordered by", "signature", "signatures"),
    *("electronic signature on file", "copy to", "copies to", "copies", "ordering dr", "referring dr"),
    *("validated by", "confirmed by", "released by", "checked by"),
    *("report date", "date of report", "report date/time", "date reported", "report status", "report id"),
    *("wsn", "ws", "workstation", "work station", "workstation id", "workstation name", "reading workstation"),
    *("reading location", "reading site", "reading station", "interpretation location", "read at", "job", "job id"),
    *("job number", "phone", "tel", "fax", "discrepancy", "quality measure", "quality measures", "mips"),
    *("performance measure", "performance measures", "peer review", "teaching file", "turnaround time", "voice id"),
    *("document id", "accession", "accession number", "print date"),
    *("cpt", "cpt code", "cpt codes", "icd-10", "icd10", "icd-10 code", "icd-10 codes", "icd codes"),
    *("diagnosis code", "diagnosis codes", "diagnostic code", "primary diagnostic code", "procedure code"),
    *("procedure codes", "billing codes", "befundet von", "firmado por", "signé par", "validé par"),
)
# ... who: "Primary Interpreting Staff", "Radiologist"
_ROLES: Final = (
    *("primary", "secondary", "ordering", "referring", "requesting", "reading", "reporting", "interpreting", "signing"),
    *("dictating", "attending", "supervising", "staff", "consultant", "responsible", "performing", "radiology"),
    *("verifying", "approving", "on-call", "teaching", "first", "second", "double"),
)
_PERSONS: Final = (
    *("radiologist", "radiologists", "physician", "provider", "clinician", "doctor", "practitioner", "staff"),
    *("attending", "resident", "resident/fellow", "fellow", "consultant", "registrar", "verifier", "reporter"),
    *("reader", "dictator", "technologist", "sonographer", "rvt", "rdms", "radiographer", "transcriptionist"),
    *("transcriber", "typist"),
)
# ... and what was done when: "Date dictated", "Signed on", "Finalized date/time"
_DEEDS: Final = (
    *("signed", "e-signed", "dictated", "dictation", "transcribed", "transcription", "finalized", "finalised"),
    *("verified", "approved", "typed", "reported", "reviewed", "authorised", "authorized", "authenticated", "printed"),
)
# Headings of an attestation or a notice: with a colon behind them, or alone on the line
_NOTICES: Final = (
    *("disclaimer", "confidentiality notice", "confidentiality statement", "confidentiality", "confidential"),
    *("report electronically signed", "electronic signature", "voice recognition disclaimer", "notice to patient"),
    *("notice to patients", "note to patient", "note to patients", "patient notice", "message to patient"),
    *("notice", "legal notice", "copyright"),
)
# These speak for themselves
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
    r"|reviewed|interpreted|completed|reported|read|typed|recorded|written using|authori[sz]ed|released)"
)
_READS: Final = r"(?:has|have|personally|reviewed|agrees|was\spresent|interpreted)"
# Sentences of attestation and disclaimer
_SENTENCES: Final = (
    # "This report was electronically signed"; "This study was interpreted by", not "… in the light of the CT"
    rf"(?:this|(?:the\s)?above)\s(?:\w{{1,14}}\s)?(?:(?:report|document|dictation|transcription|note)"
    rf"\s(?:was|has\sbeen|is)\s{_DONE}|(?:study|exam|examination)\s(?:was|has\sbeen)\s{_DONE}"
    r"\s(?:and\s\w{1,14}\s)?(?:by|at|on|electronically|using))",
    # "Portions of this report were generated by voice recognition software"
    r"(?:some\s)?(?:portions|parts)\sof\s(?:this|the)\s(?:report|document|dictation|note|record)",
    r"(?:voice|speech)\srecognition\s(?:software|technology|system|dictation|program|was|transcription|disclaimer)",
    # "Verified by Dr. A", not "Verified by ultrasound"
    r"(?:verified|validated|confirmed|released|checked)\sby\s(?:dr|prof)\b",
    # "Final report approved by"
    rf"(?:final\s|preliminary\s)?report\s(?:was\s|has\sbeen\s)?{_DONE}",
    # "I have personally reviewed the images", not "I have discussed the findings"
    r"i,?\s(?:have\s)?(?:personally|reviewed|read\sand|seen|interpreted|examined|attest|certify|agree|concur"
    r"|was\spresent|was\spersonally|supervised|performed\sand|viewed|confirm)",
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
    r"(?:all\s)?(?:images|image)\sand\s(?:the\s)?(?:report|interpretation|resident)[^\n]{0,40}\breviewed",
    r"(?:(?:the|these|all)\s)?(?:case|study|exam|examination|images|films)\s(?:(?:was|were)\s)?"
    r"(?:reviewed|interpreted|read|discussed)(?:\sand\s\w{1,12})?"
    r"\s(?:by|with\s(?:the\s)?(?:attending|staff|teaching|resident))",
    # "If you have any questions, please call", "Please contact us with questions"
    r"(?:if\syou\shave|for)\s(?:any\s)?(?:further\s)?(?:questions|concerns)\b",
    r"please\s(?:call|contact|direct)\s[^\n]{0,60}\bquestions\b",
    # "This document contains confidential information", "If you have received this in error"
    r"if\syou\shave\sreceived\sthis",
    r"this\s(?:message|fax|communication|facsimile|document|report)\s(?:is|contains|and|may\scontain)"
    r"\s(?:\w+\s){0,3}(?:confidential|privileged|intended|protected)",
    # "This is a preliminary report", "Preliminary report only"
    r"this\sis\s(?:a|an)\s(?:preliminary|unofficial|draft|final)\s(?:report|interpretation|read)",
    r"(?:preliminary|unofficial|draft)\s(?:report|interpretation|read)\s(?:only|by|pending|not|subject|-)",
    # "cc: Dr. A", not "CC: 12 mm"
    r"cc\s?:?\s?(?:dr|doctor|prof|to|file|gp|referring)\b|cc\s?:[^\n]{0,60}\bm\.?d\b",
    r"/s/",
    # "D: 02/03/2026 T: 02/03/2026"
    rf"(?:dd|td|dt|tt|d|t|d/t|dd/dt)\s?[:/]\s?{DATE}",
)
# Lines that say nothing else: the mark of an end, the title of what follows, a department
_WHOLE_LINES: Final = (
    r"(?:end\sof|end)\s(?:the\s)?(?:\w{1,12}\s)?(?:report|addendum|addenda|impression|dictation|document|transmission"
    r"|record|amendment)(?:\s?\#?\s?\d{1,2})?",
    r"(?:report|impression)\sends|end|final",
    r"addend(?:um|a)\s(?:\#?\d{1,2}\s)?(?:ends?|complete)",
    r"(?:the\s)?(?:original|initial|previous|prior|amended|corrected|final|preliminary)\s(?:\w{1,12}\s)?"
    r"(?:report|dictation|interpretation|read)(?:\s(?:follows|begins|below|as\sfollows|text))?",
    r"original\s(?:text|findings\sfollow)",
    r"(?:radiologist|radiology|electronic|attending|physician)\ssignature(?:\son\sfile)?",
    r"(?:department|dept|division)\sof\s(?:diagnostic\s|medical\s)?(?:radiology|imaging)[^\n]{0,40}",
)
# ... and what closes only at the end, since a page may break inside a section: a page number, a moment
_FOOTERS: Final = (
    # "Page 1 of 2 - Confidential"
    r"page\s?\#?:?\s?\d{1,3}(?:\s?(?:of|/)\s?\d{1,3}(?:(?:\s?[^\w\s]|\s{2,})[^\n]{0,60})?)?",
    r"\d{1,3}\s(?:of|/)\s\d{1,3}",
    rf"(?:(?:date|time|on|at)\W{{0,3}})?{DATE}(?:[\s,]+(?:at\s)?{TIME})?",
    rf"time\W{{1,3}}{TIME}",
    r"confidential[^\n]{0,60}",
)
_MARGIN: Final = r"[\s*_#=~.<>|\]):-]*+$"
_LINE: Final = re.compile(
    rf"{DECORATION}{{0,24}}+(?P<words>"
    rf"(?:{any_of(_KEYS)}|(?:(?:{any_of(_ROLES)})\s){{0,3}}(?:{any_of(_PERSONS)})(?:\s(?:name|id|signature))?"
    rf"|(?:(?:report|rpt)\s)?(?:(?:date/time|date|time)\s(?:of\s)?)?(?:{any_of(_DEEDS)})"
    r"(?:\s(?:date/time|datetime|date|time|on|by|at|id|job|location))?)"
    rf"(?:\s?\#|\s?\([^()\n]{{0,20}}\))?(?={BLANK}{{0,3}}(?:[:\uff1a]|[-\u2013]\s))"
    rf"|(?:{any_of(_NOTICES)}|(?:(?:teaching|faculty|(?:{any_of(_ROLES)})|(?:{any_of(_PERSONS)}))\s){{0,3}}"
    rf"(?:attestation(?:\sstatement)?|(?<=\s)(?:statement|note)))(?=[\s*_]{{0,4}}+(?:[:\uff1a]|$))"
    rf"|(?:{any_of(_OPENINGS)})(?![^\W_])"
    rf"|(?:(?:please\s)?note:?\s(?:that\s)?)?(?:{'|'.join(_SENTENCES)})"
    rf"|(?:{'|'.join(_WHOLE_LINES)})(?={_MARGIN})"
    rf"|(?P<footer>{'|'.join(_FOOTERS)})(?={_MARGIN}))",
    re.IGNORECASE,
)
# First words of all these, to pass over other lines without matching them
CLOSERS: Final = openers(
    (
        *(*_KEYS, *_ROLES, *_PERSONS, *_DEEDS, *_NOTICES, *_OPENINGS, "please", "attestation", "faculty"),
        *("note", "this", "the", "above", "final", "preliminary", "report"),
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
# Words that close with a colon behind them
KEYS: Final = frozenset((*_KEYS, *_PERSONS, *_DEEDS, *_NOTICES))
# How the second word goes on where the first is "the"
_THE: Final = frozenset(
    {
        *("above", "atten", "teach", "super", "staff", "under", "case ", "study", "exam ", "image", "films", "origi"),
        *("initi", "previ", "prior"),
    }
)
# Where a sentence of a line may be the first that closes: "No effusion. Electronically signed by"
_ENDED: Final = re.compile(
    r"\s(?<!\s\s)(?:(?:(?<=[.!?;)\]]\s)\s*+|\s++)(?=[A-Z/])"
    r"|(?=(?:Electronically|Digitally)\s[Ss]igned|(?:Dictated|Signed|Transcribed)\s[Bb]y))"
)
# Words that no inline closing is without
_HINTS: Final = (
    *("signed", "dictated", "transcribed", "reviewed", "personally", "approved", "reported by", "interpreted by"),
    *("end of ", "attest"),
)


def closing(line: str, first: str) -> tuple[str, bool] | None:
    """The words by which a line closes a report, and whether it does so only where nothing follows it.

    The line has no white space around it; `first` is its first word, if any.
    """
    if (first and first not in CLOSERS) or (first == "the" and line[4:9].lower() not in _THE):
        return None
    found = _LINE.match(line)
    return (found["words"], found["footer"] is not None) if found else None


def hints(text: str) -> list[int]:
    """Where a line may close a report inside, the last place first."""
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
    """Where sentences of a line close a report, with their words."""
    for gap in _ENDED.finditer(line):
        found = _LINE.match(line, gap.end())
        if found and not found["footer"] and found["words"][0].isupper():
            yield gap.end(), found["words"]
