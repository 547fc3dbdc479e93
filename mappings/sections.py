"""A report text cut into sections at its headings: lossless, and no heading found means no section guessed (D5).

Carries out no clause of a standard: radiologists' headings are a custom. The labels are the keys of
`mappings.codes.SECTION_LOINC` and, for headings without a code there, the heading's name in snake case.

A heading is a phrase of the tables below at the start of a line, numbered, bulleted or decorated or not, with a colon
or a dash behind it, between marks, or alone on the line; inside a line only where the text before it has ended. What
may as well be prose or a sub-heading stays where it is: to miss a heading costs less than to tear a finding apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from mappings.model import Section

# label -> phrases, lower case; English, then German, Spanish, French, Italian, Portuguese, Dutch
HEADINGS: Final[dict[str, tuple[str, ...]]] = {
    "addendum": ("addendum", "addenda", "addendum report", "addendum to report"),
    "anesthesia": ("anesthesia", "anaesthesia", "sedation", "anesthesia/sedation", "sedation/anesthesia"),
    "comparison": (
        *("comparison", "comparisons", "comparison study", "comparison studies", "comparison exam", "comparison exams"),
        *("prior study", "prior studies", "prior exams", "previous studies", "previous examinations"),
        *("vergleich", "voraufnahmen", "voruntersuchung", "voruntersuchungen"),
        *("comparación", "comparacion", "comparaison", "confronto", "comparação", "vergelijking"),
    ),
    "complications": ("complication", "complications"),
    "contrast": ("contrast", "contrast agent", "contrast material", "contrast media"),
    "critical_result": (
        *("critical result", "critical results", "critical finding", "critical findings", "critical value"),
        *("critical values", "critical communication", "critical result communication"),
        *("critical results communication", "communication of critical result", "communication of critical results"),
        *("communication of critical finding", "communication of critical findings"),
        *("critical result/communication", "critical results/communication"),
    ),
    "estimated_blood_loss": ("estimated blood loss", "blood loss", "ebl"),
    "examination": (
        *("exam", "examination", "examinations", "study", "exam performed", "examination performed"),
        *("study performed", "exam description", "type of exam", "type of examination", "type of study"),
        *("exam/procedure", "examination/procedure"),
        *("untersuchung", "exploración", "exploracion", "examen", "esame", "exame", "onderzoek"),
    ),
    "findings": (
        *("finding", "findings", "observations", "imaging findings", "radiographic findings"),
        *("befund", "befunde", "hallazgos", "résultat", "résultats", "resultat", "resultats", "constatations"),
        *("reperti", "referto", "achados", "bevindingen"),
    ),
    "findings_impression": (
        *("findings and impression", "findings/impression", "findings and impressions"),
        *("findings/impressions", "findings and conclusion", "findings/conclusion", "findings and opinion"),
        *("findings and interpretation", "findings/interpretation", "impression and findings", "impression/findings"),
        *("befund und beurteilung", "befund/beurteilung"),
    ),
    "history": (
        *("history", "clinical history", "clinical information", "clinical info", "clinical data", "clinical details"),
        *("clinical background", "clinical notes", "patient history", "relevant history", "relevant clinical history"),
        *("pertinent history", "medical history"),
        *("klinische angaben", "klinische angabe", "klinik", "anamnese"),
        *("datos clínicos", "datos clinicos", "antecedentes", "historia clínica", "historia clinica"),
        *("renseignements cliniques", "antécédents", "contexte clinique", "anamnesi", "dati clinici"),
        *("dados clínicos", "história clínica", "klinische gegevens"),
    ),
    "impression": (
        *("impression", "impressions", "conclusion", "conclusions", "opinion", "interpretation", "final impression"),
        *("overall impression", "summary", "summary and conclusion", "impression and plan", "impression/plan"),
        *("impression and recommendation", "impression and recommendations"),
        *("impression/recommendation", "impression/recommendations"),
        *("beurteilung", "zusammenfassung", "zusammenfassende beurteilung", "impresión", "impresion"),
        *("impresión diagnóstica", "impresion diagnostica", "conclusión", "conclusiones", "conclusioni"),
        *("conclusione", "conclusão", "impressão", "impressão diagnóstica", "conclusie"),
    ),
    "indication": (
        *("indication", "indications", "clinical indication", "clinical indications", "clinical question"),
        *("indication/clinical question", "indication for exam", "indication for examination", "indication for study"),
        *("reason for exam", "reason for examination", "reason for study", "reason for procedure", "reason for scan"),
        *("reason for referral", "reason for visit", "reason for this exam", "reason for this examination"),
        *("indication/history", "history/indication", "indication and history", "history and indication"),
        *("clinical history/indication", "clinical indication/history", "clinical history and indication"),
        *("fragestellung", "klinische fragestellung", "indikation", "rechtfertigende indikation"),
        *("indicación", "indicacion", "indicaciones", "motivo del estudio", "motif", "motif de l'examen"),
        *("indicazione", "quesito clinico", "quesito diagnostico", "indicação", "indicação clínica", "vraagstelling"),
    ),
    "materials": ("materials", "devices"),
    "medications": ("medication", "medications"),
    "plan": ("plan",),
    "procedure": ("procedure", "procedures", "procedure performed", "procedures performed"),
    "recommendation": (
        *("recommendation", "recommendations", "empfehlung", "empfehlungen"),
        *("recomendación", "recomendaciones", "recommandation", "recommandations"),
        *("raccomandazioni", "recomendações"),
    ),
    "technique": (
        *("technique", "techniques", "imaging technique", "scan technique", "technique and contrast"),
        *("technik", "untersuchungstechnik", "técnica", "tecnica", "techniek"),
    ),
}

# What may follow a heading of these labels without making it another heading: FINDINGS ABDOMEN, ADDENDUM #2
_QUALIFIABLE: Final = frozenset(
    {"addendum", "comparison", "findings", "findings_impression", "impression", "technique"}
)
_QUALIFIERS: Final = (
    *(
        "abdomen",
        "pelvis",
        "abdomen/pelvis",
        "chest",
        "thorax",
        "brain",
        "head",
        "neck",
        "spine",
        "cervical",
        "thoracic",
    ),
    *(
        "lumbar",
        "breast",
        "breasts",
        "heart",
        "knee",
        "shoulder",
        "hip",
        "ankle",
        "wrist",
        "left",
        "right",
        "bilateral",
    ),
    *("ct", "mr", "mri", "mra", "cta", "pet", "pet/ct", "us", "ultrasound", "x-ray", "mammogram", "mammography"),
    *("and", "of the"),
)

# Headings that inside a section of the other case are its sub-headings: TECHNIQUE: … Contrast: 50 mL
_MINOR: Final = frozenset(
    {"anesthesia", "complications", "contrast", "estimated_blood_loss", "materials", "medications", "plan", "procedure"}
)

# Headings that may stand inside a line of a text of several lines, in capitals and after a full stop
_CORE: Final = frozenset(
    {"comparison", "findings", "findings_impression", "history", "impression", "indication", "technique"}
)

# Signature lines end the last section; the first need a colon, the second speak for themselves
_TRAILER_KEYS: Final = (
    *("requested by", "reviewed by", "read by", "reported by", "interpreted by", "approved by", "verified by"),
    *("authenticated by", "finalized by", "finalised by", "attending radiologist", "reading radiologist"),
    *("dictated date/time", "signed date/time", "transcribed date/time", "dictated on", "signed on", "transcribed on"),
    *("finalized datetime", "wsn", "transcriptionist", "befundet von", "firmado por", "signé par", "validé par"),
)
_TRAILER_OPENINGS: Final = (
    *("dictated by", "signed by", "transcribed by", "pending review by", "electronically signed", "e-signed by"),
    *("digitally signed", "this document has been electronically signed", "this report has been electronically signed"),
    *("this document was electronically signed", "this report was electronically signed"),
    *("elektronisch signiert", "firmado electrónicamente", "signé électroniquement"),
)

# A word that makes the heading behind it part of a sentence: "correction to IMPRESSION: …"
_LEADS_ON: Final = frozenset(
    {
        *("and", "as", "by", "following", "for", "from", "in", "of", "on", "or", "original", "per"),
        *("previous", "prior", "see", "the", "to", "under", "with"),
    }
)

# HTML, XML and RTF are cut nowhere: a section of them would be no document
_MARKUP: Final = ("<!doctype", "<html", "<?xml", "{\\rtf")

_TRAILER: Final = ""
_SHORT_LINE: Final = 40  # characters; a line of wrapped prose is longer
_RUN_IN_LINES: Final = 2  # a text of one line, perhaps under a title, has its headings inside the line


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place that reads like a heading: `start` to `end` in the text; what decides whether it is one."""

    start: int
    end: int
    label: str
    words: str
    is_item: bool = False
    is_anew: bool = True
    is_inline: bool = False

    @property
    def is_upper(self) -> bool:
        return self.words.isupper()

    @property
    def is_lower(self) -> bool:
        return self.words[0].islower()


def _phrase(phrase: str) -> str:
    """The pattern of a phrase: any white space between its words, `&` for `and`, blanks around a slash."""
    pattern = re.escape(phrase).replace(r"\ and\ ", r"(?:\s{1,3}and\s{1,3}|\s{0,2}&\s{0,2})")
    return pattern.replace(r"\ ", r"\s{1,3}").replace("/", r"\s{0,2}/\s{0,2}").replace("'", "['\u2019]")


def _any_of(phrases: Iterable[str]) -> str:
    """A pattern for any of the phrases, composed or decomposed, the longest first, branching on the first letter."""
    forms = {unicodedata.normalize(form, phrase) for phrase in phrases for form in ("NFC", "NFD")}
    by_letter = groupby(sorted(forms), key=lambda phrase: phrase[0])
    return "|".join(
        first + "(?:" + "|".join(_phrase(phrase[1:]) for phrase in sorted(group, key=len, reverse=True)) + ")"
        for first, group in by_letter
    )


def _key(words: str) -> str:
    """The phrase of the table that was matched as `words`."""
    spaced = unicodedata.normalize("NFC", words).casefold().replace("&", " and ").replace("\u2019", "'")
    return "/".join(" ".join(part.split()) for part in spaced.split("/"))


_LABELS: Final = {phrase: label for label, phrases in HEADINGS.items() for phrase in phrases}
_INVISIBLE: Final = "\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
_BLANK: Final = rf"[\s{_INVISIBLE}]"
_DECORATION: Final = rf"[\s{_INVISIBLE}*_#=~>|\[\-\u2013\u2014\u2022\u25aa\u25cf\u25ba]"
_WORDS: Final = (
    rf"(?P<words>{_any_of(_LABELS)})"
    rf"(?P<qualifier>(?:\s{{1,3}}(?:{'|'.join(map(_phrase, _QUALIFIERS))}|\#?\d{{1,2}})(?![^\W_])){{0,5}})"
    r"(?:\s{0,2}\([^()]{0,40}\))?"
)
_COLON: Final = rf"(?P<colon>[*_\])]{{0,3}}{_BLANK}{{0,4}}[:\uff1a]{{1,2}}(?:-(?!\d))?(?:[*_\])]{{1,3}}|))"
_DASH: Final = rf"(?P<dash>{_BLANK}{{0,4}}(?:--?|\u2013|\u2014)(?=\s|$))"
_NUMBER: Final = r"(?:\d{1,2}(?:\.\d)?|[IVX]{1,4}|[A-H])[.)]"
_LINE_HEADING: Final = re.compile(
    rf"{_DECORATION}{{0,24}}+(?:{_NUMBER})?[\s*_{_INVISIBLE}]{{0,6}}{_WORDS}"
    rf"(?:{_COLON}|(?P<bare>[\s{_INVISIBLE}*_#=~\]\-]{{0,40}}+$)|{_DASH}|(?P<closed>\*\*|__|\])(?=\s))",
    re.IGNORECASE,
)
_ITEM: Final = re.compile(rf"\s*(?:[-*\u2022\u25aa\u25cf\u25ba]\s|[\s*_]*{_NUMBER})", re.IGNORECASE)
_INLINE_HEADING: Final = re.compile(rf"{_WORDS}(?:{_COLON}|{_DASH})", re.IGNORECASE)
_TRAILER_LINE: Final = re.compile(
    rf"{_DECORATION}{{0,24}}+(?P<words>(?:{_any_of(_TRAILER_KEYS)})(?={_BLANK}{{0,3}}[:\uff1a])"
    rf"|(?:{_any_of(_TRAILER_OPENINGS)})(?![^\W_]))",
    re.IGNORECASE,
)
# White space that may part a heading from the text before it: after the end of a sentence, wide, or before capitals
_GAP: Final = re.compile(
    r"(?<!\s)(?:(?P<ended>(?<=[.!?;)\]])\s++)|(?P<wide>\s{2,}+|\t)|(?P<narrow>(?<=[a-z0-9])\s(?=[^\W\d_a-z]{3})))(?=[^\W\d_])"
)
_RULE: Final = re.compile(r"\s{0,8}[-=_*~]{3}[-=_*~\s]*")


def cut(text: str) -> tuple[Section, ...]:
    """The text's sections in order; `"".join(s.heading + s.body for s in cut(text)) == text` for any string.

    Text under no known heading (before the first, a signature after the last) is a Section with label and heading "".
    A text without headings is one such Section, the empty text none. White space before the first heading is its own.
    """
    if not text:
        return ()
    marks = [] if text[:200].lstrip().lower().startswith(_MARKUP) else _headings(_candidates(text))
    if not marks:
        return (Section("", "", text),)
    sections = []
    opening = text[: marks[0].start]
    if opening.strip():
        sections.append(Section("", "", opening))
        opening = ""
    for mark, end in zip(marks, [*(mark.start for mark in marks[1:]), len(text)], strict=True):
        sections.append(Section(mark.label, opening + text[mark.start : mark.end], text[mark.end : end]))
        opening = ""
    return tuple(sections)


def _candidates(text: str) -> Iterator[_Mark]:
    """Every place that reads like a heading or a signature, in order; what tells them apart needs the text before."""
    lines = text.splitlines(keepends=True)
    is_run_in = sum(1 for line in lines if not line.isspace() and not _TRAILER_LINE.match(line)) <= _RUN_IN_LINES
    start, before = 0, ""
    for number, line in enumerate(lines):
        mark = _line_mark(line, start, before)
        if mark and number + 1 < len(lines):
            mark = _with_rule(mark, text, start + len(line), lines[number + 1])
        if mark:
            yield mark
        if is_run_in or line.find(":", 1) > 0:
            yield from _inline_marks(line, start, mark.end - start if mark else 0, is_run_in)
        start, before = start + len(line), line


def _with_rule(mark: _Mark, text: str, line_end: int, below: str) -> _Mark:
    """A heading alone on its line with the rule (`-----`) that underlines it."""
    if not mark.label or text[mark.end : line_end].strip() or not _RULE.fullmatch(below):
        return mark
    return replace(mark, end=line_end + len(below.rstrip()))


def _line_mark(line: str, start: int, before: str) -> _Mark | None:
    """The heading or signature at the start of a line; `before` is the line above it."""
    above = before.strip()
    is_anew = not above or above[-1] in ".!?:"
    if found := _TRAILER_LINE.match(line):
        return _Mark(start, start, _TRAILER, found["words"], is_anew=is_anew)
    found = _LINE_HEADING.match(line)
    label = _label(found) if found else None
    if not found or label is None:
        return None
    words, lead = found["words"], line[: found.start("words")]
    if not _stands_apart(found, lead, above, is_anew=is_anew):
        return None
    end = start + len(found[0].rstrip())
    return _Mark(start, end, label, words, is_item=bool(_ITEM.match(lead)), is_anew=is_anew)


def _stands_apart(found: re.Match[str], lead: str, above: str, *, is_anew: bool) -> bool:
    """Whether what follows the words of a heading sets them off; wrapped prose may begin a line with the same words."""
    is_lower = found["words"][0].islower()
    if not lead and _leads_on(above, len(above)):
        return False
    if found["colon"] is not None:
        return True
    if found["dash"] is not None:
        return not is_lower
    if found["closed"] is not None:
        return found["closed"].replace("]", "[") in lead
    return bool(lead.strip()) or (not above if is_lower else is_anew or len(above) < _SHORT_LINE)


def _inline_marks(line: str, start: int, offset: int, is_run_in: bool) -> Iterator[_Mark]:
    """The headings in a line from `offset` on: any in a text run into a line, else those of `_CORE` in capitals."""
    for gap in _GAP.finditer(line, offset):
        place = gap.end()
        found = _INLINE_HEADING.match(line, place)
        label = _label(found) if found else None
        if not found or label is None:
            if is_run_in and not gap["narrow"] and (found := _TRAILER_LINE.match(line, place)):
                yield _Mark(start + place, start + place, _TRAILER, found["words"], is_inline=True)
            continue
        words, is_anew = found["words"], gap["narrow"] is None
        if is_anew and found["dash"] is None:
            is_heading = is_run_in or (words.isupper() and label in _CORE)
        else:
            is_heading = is_run_in and words.isupper() and not _leads_on(line, gap.start())
        if is_heading:
            yield _Mark(start + place, start + found.end(), label, words, is_anew=is_anew, is_inline=True)


def _leads_on(before: str, end: int) -> bool:
    """True where the last word up to `end` makes a heading behind it part of a sentence."""
    return before[max(0, end - 20) : end].replace("(", " ").rpartition(" ")[2].lower() in _LEADS_ON


def _label(found: re.Match[str]) -> str | None:
    label = _LABELS.get(_key(found["words"]))
    return None if found["qualifier"] and label not in _QUALIFIABLE else label


def _headings(candidates: Iterable[_Mark]) -> list[_Mark]:
    """The candidates that are headings, judged by the headings before them: a text writes its headings in one way."""
    accepted: list[_Mark] = []
    headings: list[_Mark] = []
    for mark in candidates:
        if mark.label == _TRAILER:
            if headings and accepted[-1].label and (mark.is_anew or not mark.is_lower):
                accepted.append(mark)
        elif _fits(mark, headings):
            accepted.append(mark)
            headings.append(mark)
    return accepted


def _fits(mark: _Mark, headings: list[_Mark]) -> bool:
    """Whether a heading is of a kind with those before it: list items, lower case and minor ones need a precedent."""
    if not headings:
        return mark.is_anew or (not mark.is_lower and not mark.is_inline)
    first, last = headings[0], headings[-1]
    if mark.is_item and not first.is_item:
        return False
    if mark.is_lower and not mark.is_anew and not last.is_lower:
        return False
    if not mark.is_anew and mark.is_inline and not first.is_upper:
        return False
    return mark.is_upper or not first.is_upper or mark.label not in _MINOR
