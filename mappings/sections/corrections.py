"""Recognize passages that add to, amend, correct or retract a report: labels over them, and sentences in them.

Carries out no clause of a standard: radiologists mark a correction as they like. Decision D36. No phrase is listed:
`correcting_words` sorts each word into a kind, and their order decides. A line is read up to its colon, closing mark or
end:

| the words | read as |
|---|---|
| a noun of correcting (`NACHTRAG:`, `<<ADDENDUM>>`, `2nd addendum by Dr. A:`) | a label |
| a verb of correcting with a report or a date (`AMENDED REPORT 1/6/2026:`, `Korrigiert am 6.1.2026:`) | a label |
| a negation, or a word about something else (`No addendum.`, `Corrected QT:`, `Scoliosis correction:`) | no label |

In a sentence, the object of the word decides: the nearest noun that it is bound to. With a report as its object, or
with a date, the sentence corrects explicitly. With something else ("retracted tendon", "amended order"), it corrects
nothing. Without an object it might.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import or_
from typing import Final, Literal, NamedTuple

from mappings.sections.correcting_words import (
    AUTHOR_WORDS,
    TOKEN,
    Kind,
    Trait,
    Word,
    hints,
    kind_at,
    kind_of,
    plainly,
    words,
)

Certainty = Literal["explicit", "doubtful", ""]
EARLIER, USUAL, REVISED = 0, 1, 2
"""Ranks of headings: an earlier impression is superseded by a usual one, both by a revised one."""

_MARKS: Final = re.compile(r"(?:[^\w\s(\[{]|_){1,40}:?")
_DASHES: Final = frozenset({"-", "--", "\u2013", "\u2014", "->", "=>"})
_LEAD: Final = re.compile(r"(?P<marks>[\W_]{0,24}+)(?:(?:\d{1,2}[.)]?|[A-Za-z]\))\s{1,3})?")
_OPEN_MARKS: Final = frozenset("+\"'\u2018\u201c?%@&")  # marks that close no label without marks before it
_LONGEST_HEAD: Final = 160  # characters of a label, an author and a time included
# Words with a full stop that ends no sentence
_ABBREVIATIONS: Final = frozenset({"dr", "prof", "mr", "ms", "mrs", "st", "no", "nr", "med"})
_CLAUSE_END: Final = re.compile(
    r"[;:!?,\uff1a](?!\d|\s(?:of|des?|der|d[aio]|della|van)\s)|(?<!\b[^\W\d_])(?<!\b(?:[Nn][or]|[Dd]r|[Ss]t|[Mm]r|[Mm]s))\.(?=\s|$)(?!\s\d)"
    r"|\n(?=[^\S\n]{0,40}(?:\n|[^\w\s]{0,8}[^\W\d_a-z]))|[*=_~#<>|]{2,}"
)
_LINE_END: Final = re.compile(r"\n|\s(?=[^\W\d_a-z]{3,40}:)")  # or a heading in the line
_SEPARATED: Final = re.compile(r"\d[/.:-]\d")
_OF: Final = frozenset({"of", "des", "der", "vom", "von", "de", "du", "del", "della", "di", "do", "da", "van"})
# Small words that only sentences have
_STATING: Final = frozenset(
    {
        *("is", "are", "was", "were", "has", "have", "should", "shows", "ist", "sind", "wird", "wurde", "es", "son"),
        *(
            "fue",
            "est",
            "sont",
            "\u00e8",
            "sono",
            "\u00e9",
            "s\u00e3o",
            "foi",
            "zijn",
            "wordt",
            "werd",
            "hay",
            "h\u00e1",
        ),
    }
)
_TO: Final = frozenset({"to", "for", "zu", "zum", "zur", "al", "allo", "alla", "au", "aux", "ao", "aan", "bij", "op"})
_JOINING: Final = frozenset({"and", "und", "y", "et", "e", "en"})
_INITIALS: Final = 3  # letters of an author, behind a date
_OTHERS: Final = 2  # words of a label that are about something else: IMPORTANT WET READ ADDENDUM
_NEAR: Final = 24  # words; the object of a word is no farther
_ANSWER: Final = re.compile(r"(?:yes|ja|s[i\u00ed]|oui|sim)\b", re.IGNORECASE)
_CAPITALIZED: Final = re.compile(r"(?=[^\W\d_a-z])[^\W\d_]{2,}(?!\d)")
_SENTENCE: Final = 2  # words; a shorter line with a full stop is an abbreviation
# Words that may stand beside a negation: "Addendum: not applicable"
_FILLERS: Final = frozenset({"applicable", "available", "required", "needed", "necessary", "erforderlich", "notwendig"})
_NOT_APPLICABLE: Final = re.compile(r"\W*n\W?a\W*", re.IGNORECASE)


class Label(NamedTuple):
    """Label at the start of a line, up to `end`; `is_set_off`: by a colon or marks; `is_end`: it ends a correction."""

    end: int
    is_set_off: bool
    is_end: bool


def correction_label(line: str) -> Label | None:
    """Match the label of a correction at the start of a line."""
    lead = _LEAD.match(line)
    place = lead.end() if lead else 0
    head = _Head(line, lead["marks"].strip() if lead else "")
    for token in TOKEN.finditer(line, place, min(len(line), place + _LONGEST_HEAD)):
        found = head.read(token) if token.start() >= head.resume else None
        if found is not None or head.is_over:
            return found
    return head.ended(len(line.rstrip())) if len(line) <= place + _LONGEST_HEAD else None


class _Head:
    """Words of a line up to the end of its label."""

    def __init__(self, line: str, marks: str) -> None:
        self.line = line
        self.marks = marks  # before the label
        self.words: list[Word] = []
        self.last = ""  # the last word or number
        self.is_upper = True
        self.authors = 0  # words of an author that may still follow
        self.resume = 0  # end of the marks read
        self.is_over = False

    def read(self, token: re.Match[str]) -> Label | None:
        """Read one token; return the label if it ends there."""
        if token["word"]:
            return self._word(token)
        if token["mark"]:
            return self._mark(token)
        if token["number"]:
            self.words.append(Word("date", token[0]))
        elif token["bracket"]:
            self.words += [one for one in words(token[0]) if one.kind in {"noun", "verb", "date"}]
        elif self._begins_text(token[0], "other"):
            return self.ended(token.start())
        else:
            self.is_over = True
        self.last = token[0]
        return None

    def ended(self, end: int, *, is_set_off: bool = False) -> Label | None:
        """Return the label, if its words correct a report; else no label follows."""
        self.is_over = True
        behind = TOKEN.match(self.line[end:].lstrip())
        if is_set_off and behind and (behind[0] in _OF or (behind["number"] and self._is_verb())):
            return None  # "Correction: of the lordosis", "Corrected: 440"
        if is_set_off and not (self.marks or self.is_upper) and _is_of_the_body(self.words, self.line[end:]):
            return None
        is_end = any(one.kind == "end" for one in self.words)
        return Label(end, is_set_off, is_end) if self._is_complete(is_set_off=is_set_off) else None

    def _is_verb(self) -> bool:
        return all(one.kind == "verb" for one in self.words)

    def _is_complete(self, *, is_set_off: bool = False) -> bool:
        """True if the words correct a report."""
        kinds = {one.kind for one in self.words}
        is_document = any(one.has("document") for one in self.words)
        if "other" in kinds and not (is_document and is_set_off):
            return False
        if "noun" in kinds:
            return is_document or "subject" not in kinds or not kinds.isdisjoint({"report", "date"})
        has_note = any(one.has("note") for one in self.words)
        if "verb" in kinds:
            return has_note or "report" in kinds or _has_date(self.words) or (is_set_off and self._corrects_by_verb())
        if not is_set_off or kinds - {"report", "grammar", "date"}:
            return False
        is_fault = any(one.has("fault") for one in self.words)
        is_of_report = any(one.kind == "report" and not one.has("fault") for one in self.words)
        return (is_fault and (is_of_report or has_note)) or (has_note and any(one.has("late") for one in self.words))

    def _corrects_by_verb(self) -> bool:
        """True for nothing but verbs: AMENDED, "Annule et remplace"."""
        verbs = [one for one in self.words if one.kind == "verb"]
        if len(verbs) < len([one for one in self.words if one.plain not in _JOINING]):
            return False
        return self.is_upper or len(verbs) > 1 or verbs[0].has("certain")

    def _word(self, token: re.Match[str]) -> Label | None:
        word = Word(kind_at(token, self.last.lower()), plainly(token["word"]))
        if self._begins_text(token["word"], word.kind):
            return self.ended(token.start())
        following = TOKEN.match(self.line[token.end() :].lstrip())
        is_dated = following and (following["number"] or kind_of(following[0]) == "date")
        if word.kind == "author":
            self.authors = AUTHOR_WORDS
        elif word.kind == "other" and (self.authors or self._is_initials(token["word"])):
            self.authors = max(0, self.authors - 1)
        elif self._ends_label(token["word"], word, is_dated=bool(is_dated)):
            self.is_over = True
        else:
            self.words.append(word)
        self.is_upper = self.is_upper and token["word"].isupper()
        self.last = token["word"]
        return None

    def _is_initials(self, word: str) -> bool:
        """True for an author's initials behind a date."""
        return len(word) <= _INITIALS and word.isupper() and any(one.kind == "date" for one in self.words)

    def _ends_label(self, word: str, found: Word, *, is_dated: bool) -> bool:
        """True for a word that no label has."""
        if found.kind == "limit":
            return not is_dated
        if found.kind != "other":
            return found.kind == "negation"
        is_behind = any(one.kind == "noun" for one in self.words)
        is_object = any(one.plain in _TO for one in self.words)
        others = sum(one.kind == "other" for one in self.words)
        return others >= _OTHERS or (is_behind and not is_object)

    def _begins_text(self, word: str, kind: Kind) -> bool:
        """True for a word that begins the text behind a label in capitals, or behind a document, report or date."""
        is_begun = word[0].isupper() and not (word.isupper() and len(word) > 1) and not self.authors
        if not is_begun or kind not in {"grammar", "limit", "negation", "other"} or not self._is_complete():
            return False
        last = self.words[-1]
        is_named = last.has("document") or (last.kind == "report" and not last.has("vague"))
        return self.is_upper or last.kind == "date" or is_named

    def _mark(self, token: re.Match[str]) -> Label | None:
        mark = token["mark"]
        if mark in ":\uff1a":
            is_begun = self.words and all(one.kind == "grammar" for one in self.words)
            is_note = is_begun and not self._is_complete(is_set_off=True)
            return None if is_note else self.ended(token.end(), is_set_off=True)  # "Note: correction to the report"
        if mark == "." and self.line.startswith(".-", token.start()):
            return self.ended(token.end() + 1, is_set_off=True)  # "ADENDA.-", as Spanish headings end
        if mark == ".":
            return self._stop(token.end())
        if mark not in ",/&'\u2019#\u00b0" or mark in self.marks:
            return self._closing(token.start())
        return None

    def _closing(self, start: int) -> Label | None:
        """Read the marks behind a label, or a dash."""
        marks = _MARKS.match(self.line, start)
        if marks is None:
            self.is_over = True
            return None
        self.resume = marks.end()
        behind = self.line[marks.end() :]
        if self.marks or not behind.strip() or marks[0].endswith(":"):
            return self.ended(len(self.line[: marks.end()].rstrip()), is_set_off=True)
        is_dash = marks[0].strip() in _DASHES
        if not is_dash and (marks[0][0] in _OPEN_MARKS or not self._is_complete(is_set_off=True)):
            self.is_over = True
            return None
        following = TOKEN.match(behind.lstrip())
        is_label = following is None or not following["word"] or kind_of(following[0]) in _OF_LABEL
        return None if is_label or not self._is_complete() else self.ended(marks.end(), is_set_off=not is_dash)

    def _stop(self, end: int) -> Label | None:
        """Read a full stop: the end of a sentence, unless an abbreviation or a number is before it."""
        behind = self.line[end:]
        following = TOKEN.match(behind.lstrip())
        is_date = following is not None and following["word"] and kind_of(following[0]) == "date"
        is_ended = not behind.strip() or (behind[0].isspace() and behind.lstrip()[0].isupper() and not is_date)
        is_short = len(self.last) == 1 or plainly(self.last) in _ABBREVIATIONS
        return self.ended(end) if is_ended and not is_short else None


# Words of a label that might be of a correction, and kinds of words that stand beside them
_HINTS: Final[tuple[Trait, ...]] = ("fault", "late", "hinted", "reread")
_BESIDE_HINTS: Final = frozenset({"report", "date", "grammar", "author", "limit"})
_OF_LABEL: Final = frozenset({"noun", "verb", "report", "date", "author"})
_ABOUT_ELSE: Final = frozenset({"noun", "verb", "subject", "negation", "end"})
_OTHER_LABELS: Final[tuple[Trait, ...]] = ("elsewhere", "earlier", "first", "fault", "late", "hinted")
_LONGEST_REMARK: Final = 8  # words of a label
# A label up to a colon or `.-`, or between marks, and what follows
_SET_OFF: Final = frozenset("*=~#<>|[")
_LABEL_ENDS: Final = (":", "\uff1a", ".-", "S.")
_POSTSCRIPT: Final = re.compile(r"^\s*+(?:P\.\s?){1,2}S\.(?=\s)")
_REMARK: Final = re.compile(
    r"\s*+(?P<marks>[*=~#<>|]{2,12}|\[)?(?P<label>.{1,160}?)"
    r"(?:[:\uff1a](?!\d)|\.-|(?(marks)(?:[*=~#<>|]{2,12}|\]):?|(?!)))(?P<said>.*)"
)


def is_negated(content: str) -> bool:
    """True if the text under a label says that there is nothing: "none", "n/a", "no addendum to this report"."""
    first, *others = content.strip().splitlines() or [""]
    found = list(words(first))
    if found and not _NOT_APPLICABLE.fullmatch(first):
        is_nothing = any(one.kind == "negation" for one in found) and all(
            one.kind not in {"other", "subject", "end"} or one.plain in _FILLERS for one in found
        )
    else:
        is_nothing = bool(first)
    return is_nothing and not any(map(is_statement, others))


def _is_of_the_body(label: Sequence[Word], text: str) -> bool:
    """True if a word and what follows it are about the patient: "Retraction: nipple", "Correction: surgical"."""
    behind = TOKEN.match(text.lstrip())
    if len(label) != 1 or behind is None:
        return False
    if behind["word"] and Word("other", plainly(behind["word"])).has("treatment"):
        return True
    line = _LINE_END.split(text.lstrip(), maxsplit=1)[0]
    return label[0].has("sign") and not _begins_sentence(line)


def _begins_sentence(text: str) -> bool:
    """True for a text that begins with a capitalized word, or has a word that only sentences have."""
    begun = _CAPITALIZED.match(text)
    return begun is not None or any(_is_of_sentence(one["word"]) for one in TOKEN.finditer(text) if one["word"])


def _is_of_sentence(word: str) -> bool:
    return word in _STATING or (word.islower() and kind_of(word) == "negation")


def is_hinted(text: str, *, is_own: bool = False) -> bool:
    """True if a line begins with a label that might be of a correction, and goes on with a sentence: "Discrepancy: …".

    Its words are only of correcting, of errors, of what comes late or was read again, and of reports. Beside a date
    they may be others. With `is_own` it also says of what it is (see `_is_named`): "Changed impression: …".
    """
    return any(_hints_at(label, is_own=is_own) for label, _ in _remarks(text))


def is_remarked(text: str) -> bool:
    """True if a line begins with a label that is no custom of reports, and goes on with a sentence: "Second look: …".

    Neither may be about the patient or the examination. Above the first heading real reports have no such line.
    """
    return any(_is_uncommon(label) and _states_a_finding(said) for label, said in _remarks(text))


def _remarks(text: str) -> Iterator[tuple[list[Word], str]]:
    """Yield each label at the start of a line, and the sentence that follows it there or below.

    "Discrepancy: Yes" answers a form.
    """
    rows = text.splitlines()
    for number, row in enumerate(rows):
        if row.lstrip()[:1] not in _SET_OFF and not any(end in row for end in _LABEL_ENDS):
            continue  # most lines
        found = _REMARK.match(_POSTSCRIPT.sub("PS: ", row))
        if found is None:
            continue
        said = found["said"].strip() or next(filter(None, map(str.strip, rows[number + 1 : number + 3])), "")
        is_said = is_statement(said) and _begins_sentence(said) and not _ANSWER.match(said)
        if is_said and not is_negated(said):
            yield list(words(found["label"].replace(".", ""))), said


def _hints_at(label: Sequence[Word], *, is_own: bool) -> bool:
    """True if a label has a word that might be of a correction, and none about something else."""
    is_hint = [one.kind in {"noun", "verb"} or any(one.has(trait) for trait in _HINTS) for one in label]
    is_part = [one.kind in _BESIDE_HINTS or one.has("note") or one.has("earlier") for one in label]
    is_else = any(one.has("elsewhere") for one in label)
    is_whole = all(map(or_, is_hint, is_part)) or (not is_own and _has_date(label))
    return any(is_hint) and is_whole and not is_else and (not is_own or _is_named(label))


def _has_date(label: Sequence[Word]) -> bool:
    """True for more than a year: "Revised 2017 criteria"."""
    dates = [one for one in label if one.kind == "date"]
    return len(dates) > 1 or any(_SEPARATED.search(one.plain) for one in dates)


def _is_named(label: Sequence[Word]) -> bool:
    """True if a label names a correction, an error, a report, a reading, an author, or a date with its year.

    Other numbers are of lesions.
    """
    is_correction = (one.kind == "author" or (one.kind == "noun" and one.has("certain")) for one in label)
    is_error = (one.has("fault") and not one.has("hinted") for one in label)  # a discrepancy may be of two legs
    is_report = (_is_report(one) or one.has("reread") for one in label)
    is_date = (_DATE.search(one.plain) or _ISO_DATE.search(one.plain) for one in label)
    return any((*is_correction, *is_error, *is_report, *is_date))


def _is_report(word: Word) -> bool:
    return word.kind == "report" and not word.has("vague")


def _is_uncommon(label: Sequence[Word]) -> bool:
    """True for a short label of its own words, or a named report, that is about no examination and no earlier reading.

    "Wet read:" is what the report supersedes, and "Motion correction:" corrects something else.
    """
    is_own = any(one.kind not in _BESIDE_HINTS or (_is_report(one) and len(label) > 1) for one in label)
    is_else = any(one.kind in _ABOUT_ELSE or _is_custom(one) or any(map(one.has, _OTHER_LABELS)) for one in label)
    return is_own and not is_else and len(label) <= _LONGEST_REMARK


def _states_a_finding(said: str) -> bool:
    """True for a sentence that does not begin with the patient or the examination."""
    found = [token["word"] for token in TOKEN.finditer(said) if token["word"]]
    is_else = any(_is_custom(Word(kind_of(one), plainly(one))) for one in found[:2])
    return any(map(_is_of_sentence, found)) and not is_else


def _is_custom(word: Word) -> bool:
    return word.kind == "other" and word.has("custom")


def is_statement(text: str) -> bool:
    """True if a text has a sentence; a title or a row of names has none."""
    return any(_states(line) for line in text.splitlines())


def _states(line: str) -> bool:
    """True if a line ends like a sentence, or has a small word that only sentences have."""
    found = [token["word"] for token in TOKEN.finditer(line) if token["word"]]
    if len(found) >= _SENTENCE and line.rstrip()[-1] in ".!?":
        return True
    return any(map(_is_of_sentence, found))


def certainty(text: str, *, is_own: bool = False) -> Certainty:
    """Judge the sentences of a text: "explicit" if one corrects a report and says by what.

    With `is_own` only sentences about "this report" or "my report" count: the text tells of other reports, too.
    """
    found: Certainty = ""
    if not hints(text):
        return found
    for clause, end in _clauses(text):
        corrects = _corrects(clause, is_own=is_own)
        if (
            not corrects
            or _is_of_the_body(clause, text[end:])
            or is_negated(_LINE_END.split(text[end : end + _LONGEST_HEAD], maxsplit=1)[0])
        ):
            continue
        found = "doubtful"
        if corrects == "explicit":
            says_more = any(one.kind in {"other", "subject"} for one in clause) or is_statement(text[end:])
            return "explicit" if says_more else found
    return found


def is_corrected(heading: str) -> bool:
    """True if a heading says that its section corrects another: REVISED IMPRESSION."""
    return rank(heading) == REVISED


def rank(heading: str) -> int:
    """Rank of a heading among those of one text: `EARLIER`, `USUAL` or `REVISED`."""
    found = list(words(heading))
    if any(one.has("earlier") for one in found):
        return EARLIER
    kinds = {one.kind for one in found}
    return REVISED if {"verb", "report"} <= kinds and not kinds & {"other", "negation"} else USUAL


def title_rank(line: str) -> int | None:
    """Rank of the report that a line is the title of, as in PREVIOUS REPORT; None if it is no such title."""
    found = list(words(line))
    ranked = rank(line)
    is_ranked = ranked != USUAL or any(one.has("latest") for one in found)
    odd = any(one.kind in {"other", "limit", "end"} and not (one.has("earlier") or one.has("latest")) for one in found)
    return ranked if is_ranked and not odd and any(one.kind == "report" for one in found) else None


def subjects(heading: str) -> frozenset[str]:
    """Words of a heading or title that name an examination or a part of the body."""
    return frozenset(one.plain for one in words(heading) if one.kind == "subject")


def _clauses(text: str) -> Iterator[tuple[list[Word], int]]:
    """Yield the clauses of a text, with their ends: at a punctuation mark, or at a line that begins anew."""
    start = 0
    for end, behind in [*(one.span() for one in _CLAUSE_END.finditer(text)), (len(text), len(text))]:
        if found := list(words(text[start:end])):
            yield found, behind
        start = behind


def _corrects(clause: Sequence[Word], *, is_own: bool) -> Certainty:
    """Judge a clause by the object of each of its words that may correct."""
    found: Certainty = ""
    if is_own and not any(one.has("own") for one in clause):
        return found
    for place, word in enumerate(clause):
        if word.kind in {"negation", "end"}:
            break
        if word.kind not in {"noun", "verb"}:
            continue
        before, behind = clause[max(0, place - _NEAR) : place], clause[place + 1 : place + _NEAR]
        bound = _noun_object(before, word, behind) if word.kind == "noun" else _verb_object(before, behind)
        if bound == "report" or (not bound and not is_own and _is_dated(behind)):
            if not any(one.has("elsewhere") for one in clause):
                return "explicit"
            found = "doubtful"
        if not bound and word.has("certain"):
            found = "doubtful"
    return found


def _is_dated(behind: Sequence[Word]) -> bool:
    """True if a date follows a word: "amended on 1/6/2026"; a year alone is none."""
    rest = [one for one in behind if one.kind != "grammar" and one.plain not in {"on", "at", "am"}]
    kinds = [one.kind for one in rest[:2]]
    return kinds[:1] == ["date"] and (kinds[1:] == ["date"] or _SEPARATED.search(rest[0].plain) is not None)


def _noun_object(before: Sequence[Word], noun: Word, behind: Sequence[Word]) -> Literal["report", "other", ""]:
    """Object of a noun: "report" (correction to the report), "other" (correction factor), or ""."""
    found = _next(before[-1:]), _next(behind)
    if "report" in found:
        return "report"
    return "" if noun.has("document") else found[0] or found[1]


def _verb_object(before: Sequence[Word], behind: Sequence[Word]) -> Literal["report", "other", ""]:
    """Object of a verb: its subject, or the word behind it: "report", "other", or ""."""
    subject = _subject(before)
    if subject == "report":
        return subject
    bound = _next(behind)
    if bound == "other" and behind[0].plain == "to":
        bound = ""  # "amended to read"
    return bound if bound == "report" else subject or bound


def _next(behind: Sequence[Word]) -> Literal["report", "other", ""]:
    """Nearest object behind a word, not beyond a preposition of time, place or author."""
    for word in behind:
        if word.kind in {"limit", "author", "date", "negation"}:
            return ""
        if word.kind in {"report", "other", "subject"} and not word.has("vague"):
            return "report" if word.kind == "report" else "other"
    return ""


def _subject(before: Sequence[Word]) -> Literal["report", "other", ""]:
    """Nearest noun before a verb; "the report of the CT" is a report, "the outside report" is something else."""
    for place in range(len(before) - 1, -1, -1):
        word = before[place]
        if word.kind == "limit":
            return ""
        if word.kind == "report" and not word.has("vague"):
            return "other" if any(one.has("elsewhere") for one in before[:place]) else "report"
        if word.kind in {"other", "subject"}:
            is_part = any(one.kind == "report" and next_one.plain in _OF for one, next_one in pairwise(before[:place]))
            return "report" if is_part else "other"
    return ""


_NAMED_DATE: Final = re.compile(
    r"(?P<day>\d{1,2})(?:st|nd|rd|th|[.\u00ba])?[\s-](?:de\s)?(?P<month>[^\W\d_]{3,10})\.?[,\s-]{1,2}(?:de\s|del\s)?"
    r"(?P<year>\d{4})|(?P<first>[^\W\d_]{3,10})\.?\s(?P<second>\d{1,2})(?:st|nd|rd|th)?,?\s(?P<third>\d{4})",
    re.IGNORECASE,
)
_ISO_DATE: Final = re.compile(r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})(?!\d)")
_DATE: Final = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})(?!\d)")
_TIME: Final = re.compile(r"(\d{1,2})[:.h](\d{2})(?:[:.]\d{2})?\s?([ap])?", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\b\d{1,2}(?!\d)")
_MONTHS: Final = (
    *("jan ene gen", "feb fev", "mar mrt maa", "apr abr avr", "may mai mag mei", "jun juin giu", "jul juil lug"),
    *("aug ago aou", "sep set", "oct okt ott out", "nov", "dec dez dic"),
)
_ORDINALS: Final = (
    "i one first erste primer premi prime primo eerste",
    "ii two second zweite segund deuxi tweede",
    "iii three third dritte tercer troisi terz derde",
    "iv four fourth vierte cuart quatri quart vierde",
)
_SHORT: Final = 3  # letters; a shorter word must be whole: II
_Key = tuple[int, ...]


def newest_first(labels: Sequence[str], *, is_below: bool) -> list[int] | None:
    """Places of the labels, the newest first; None if the order is not known. `is_below`: they follow the report."""
    read = [_read(label) for label in labels]
    by_number, by_day, by_month = ([keys[kind] for keys in read] for kind in range(3))
    if by_day != by_month and _order(by_day) != _order(by_month):
        by_day = [None] * len(labels)
    orders = [order for order in (_order(by_number), _order(by_day)) if order]
    if orders:
        return orders[0] if all(order == orders[0] for order in orders) else None
    is_as_written = is_below and all(map(_never_falls, (by_number, by_day, by_month)))
    return [*range(len(labels))][::-1] if is_as_written else None


def _order(keys: Sequence[_Key | None]) -> list[int] | None:
    """Places by their keys, the greatest first; None unless all have different ones."""
    known = [(key, place) for place, key in enumerate(keys) if key]
    if len({key for key, _ in known}) < len(keys):
        return None
    return [place for _, place in sorted(known, reverse=True)]


def _never_falls(keys: Sequence[_Key | None]) -> bool:
    return all(one <= other for one, other in pairwise(key for key in keys if key))


def _read(label: str) -> tuple[_Key | None, _Key | None, _Key | None]:
    """Read the number of a label, and its date and time: with the day first, and with the month first."""
    rest = label
    days = months = None
    if (named := _NAMED_DATE.search(label)) and (month := _listed(named["month"] or named["first"], _MONTHS)):
        days = months = (int(named["year"] or named["third"]), month, int(named["day"] or named["second"]))
        rest = label.replace(named[0], " ", 1)
    elif iso := _ISO_DATE.search(label):
        days = months = (int(iso[1]), int(iso[2]), int(iso[3]))
        rest = label.replace(iso[0], " ", 1)
    elif date := _DATE.search(label):
        one, other, year = int(date[1]), int(date[2]), int(date[3]) % 100
        days, months = (year, other, one), (year, one, other)
        if max(one, other) > len(_MONTHS):
            days = months = (year, min(one, other), max(one, other))
        rest = label.replace(date[0], " ", 1)
    if time := _TIME.search(rest):
        hour = int(time[1]) % 12 + 12 * (time[3] in "pP") if time[3] else int(time[1])
        days, months = (*(days or ()), hour, int(time[2])), (*(months or ()), hour, int(time[2]))
        rest = rest.replace(time[0], " ", 1)
    number = _NUMBER.search(rest)
    found = int(number[0]) if number else next(filter(None, (_listed(word, _ORDINALS) for word in rest.split())), 0)
    return ((found,) if found else None), days, months


def _listed(word: str, rows: Sequence[str]) -> int:
    """Number of the row that has a beginning of the word, from 1; 0 for none."""
    plain = plainly(word).strip("()[]:.,#*-")
    for number, row in enumerate(rows, start=1):
        if any(plain == one or (len(one) >= _SHORT and plain.startswith(one)) for one in row.split()):
            return number
    return 0
