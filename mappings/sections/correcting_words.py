"""Sort the words by which radiologists correct a report, and the words around them, into kinds.

Carries out no clause of a standard: radiologists mark a correction as they like. No phrase is listed, only stems:
`mappings.sections.corrections` reads their order.
Proved by tests/mappings/sections/test_corrections.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Final, Literal, NamedTuple

from mappings.sections.headings import HEADINGS, MODALITIES, REGIONS

Kind = Literal["noun", "verb", "report", "date", "negation", "end", "author", "limit", "grammar", "subject", "other"]
Trait = Literal[
    "certain", "document", "vague", "earlier", "latest", "own", "elsewhere", "fault", "late", "note", "hinted", "sign",
    "treatment", "reread", "first", "custom",
]  # fmt: skip

# Language -> words in lower case without accents, as regular expressions. The first two tables have nouns and verbs
# that might correct without an object; those of the next two are too common for that.
_NOUNS: Final[dict[str, str]] = {
    "English": "addend(?:um|a) addend(?:un|em|ium)? adde(?:md|n|d)um amendment emendation erratum errata"
    " corrigend(?:um|a) correction retraction",
    "German": "nachtrag nachbefund(?:ung)? nachmeldung berichtigung richtigstellung korrektur widerruf",
    "Spanish": "adend(?:um|a|o) enmienda rectificacion correccion retractacion",
    "French": "additif rectification rectificatif correctif retractation",
    "Italian": "rettific(?:a|he) correzion[ei] emendamento ritrattazione",
    "Portuguese": "aditamento emenda retificac(?:ao|oes) correc(?:ao|oes) retratacao",
    "Dutch": "naschrift correctie rectificatie intrekking",
}
_VERBS: Final[dict[str, str]] = {
    "English": r"addended amend(?:ed|s|ing)? emended correct(?:ed|s|ing) rectif[iy]\w* retract(?:ed|s|ing)"
    r" supersed(?:ed|es|ing) rescind(?:ed|s)? revoked? nullif\w+",
    "German": r"berichtig\w+ korrigier\w+ widerrufen richtiggestellt\w* nachgetragen\w* nachgemeldet\w*",
    "Spanish": r"enmendad[oa]s? correg\w+ rectificativ[oa] retractad[oa]s?",
    "French": r"corrig\w+ rectificative retracte\w*",
    "Italian": "rettificat(?:iv)?[oaie] corrett[oaie] ritrattat[oaie]",
    "Portuguese": r"retifica\w* retratad[oa]s?",
    "Dutch": r"gecorrigeerd\w* gerectificeerd\w* herzien\w* ingetrokken nagekomen",
}
_COMMON_NOUNS: Final[dict[str, str]] = {
    "English": "addition supplement revision update modification withdrawal clarification postscript typo",
    "German": "erganzung zusatz anderung aktualisierung rucknahme klarstellung prazisierung seitenverwechslung"
    " (?:diktat|schreib|tipp|ubertragungs|befund)fehler",
    "Spanish": "ampliacion suplemento modificacion actualizacion aclaracion anulacion",
    "French": "ajout complement precision eclaircissement mise annulation",
    "Italian": "aggiunta integrazion[ei] supplemento modifica precisazione chiarimento postilla annullamento",
    "Portuguese": "acrescimo complement(?:o|acao) modificacao atualizacao esclarecimento",
    "Dutch": "aanvulling toevoeging wijziging aanpassing herziening verbetering verduidelijking verheldering"
    " (?:dicteer|type?|tik|schrijf)fout(?:en)?",
}
_COMMON_VERBS: Final[dict[str, str]] = {
    "English": "added add supplement(?:al|ary|ed) modif(?:y|ied|ies|ying) revis(?:e|ed|es|ing) updat(?:e|ed|es|ing)"
    " correct retract withdraw(?:n|s|ing)? replac(?:e|ed|es|ing) supersede disregard(?:ed)? ignore"
    " void(?:ed)? cancel(?:l?ed|s)? replacement clarifying",
    "German": r"erganz\w+ (?:ab)?geandert\w* hinzugefugt\w* revidier\w+ aktualisier\w+ modifizier\w+ zuruckgezogen"
    r" zuruckgenommen nachtraglich\w* ersetz\w+ uberholt hinfallig ignorier\w+",
    "Spanish": r"anadid[oa] agregad[oa] modific\w+ revisad[oa] actualizad[oa]s? aclaratori[oa] complementari[oa]"
    r" anula\w* reemplaza\w* sustitu\w+ retirad[oa] ampliad[oa]",
    "French": r"ajoutee? modifiee? revisee? actualisee? annule\w* complementaire remplace\w* retiree?",
    "Italian": r"aggiunt[oi] integrat(?:o|iv[oa]) complementare aggiornat[oaie] modificat[oaie] revisionat[oaie]"
    r" annulla\w* sostitu\w+ ritirat[oa]",
    "Portuguese": r"acrescentad[oa] adicionad[oa] atualizad[oa] complementar substitu\w+",
    "Dutch": r"aangevuld\w* aanvullend\w* toegevoegd\w* gewijzigd\w* wijzigt aangepast\w* bijgewerkt\w* vervang\w+"
    " vervalt annuleert",
}
# A report and its parts
_REPORTS: Final[dict[str, str]] = {
    "English": "reports? dictations? reads? readings? interpretations? impressions? conclusions? opinions?"
    " diagnos[ei]s statements? wording laterality narrative",
    "German": r"\w*befund(?:e|es|s|bericht\w*|text)? \w*bericht(?:e|s|es)? \w*beurteilung diktat diagnose aussage"
    " seitenangabe",
    "Spanish": "informes? lectura dictado impresion conclusion diagnosticos? lateralidad",
    "French": "rapports? rendus? compte-rendus? diagnostic",
    "Italian": "referto relazione refertazione conclusion[ei] diagnosi",
    "Portuguese": "laudos? relatorios? impressao conclusao",
    "Dutch": "verslag(?:en)? uitslag conclusies?",
}
# ... of which sentences speak in another sense, too: they make a label, but are no object
_PARTS: Final[dict[str, str]] = {
    "English": "errors? mistakes? discrepanc(?:y|ies) typo(?:s|graphical)? findings? results? text version copy typing"
    " side transcription voice speech recognition reporting overread clerical",
    "German": r"\w*fehler fassung seite",
    "Spanish": "hallazgos resultados? texto transcripcion tipografico error(?:es)?",
    "French": "erreurs? resultats? texte frappe dictee lateralite transcription",
    "Italian": "error[ei] reperti testo dettatura trascrizione battitura materiale",
    "Portuguese": "erros? achados digitacao ditado transcricao",
    "Dutch": "fout(?:en)? bevindingen tekst versie",
}
_DATES: Final[dict[str, str]] = {
    "English": r"jan\w* feb\w* mar(?:ch)? apr\w* may jun\w* jul\w* aug\w* sept?\w* oct\w* nov\w* dec(?:ember)? today"
    " yesterday am pm e[sd]t c[sd]t m[sd]t p[sd]t utc gmt hrs? hours",
    "German": r"marz mai okt\w* dez\w* uhr heute gestern",
    "Spanish": r"ene(?:ro)? abril agosto dic\w*",
    "French": r"fevr\w* avril juin juillet aout",
    "Italian": r"genn\w* magg\w* giu\w* lug\w* ott\w*",
    "Portuguese": "out(?:ubro)?",
    "Dutch": "maart mei",
}
_NEGATIONS: Final[dict[str, str]] = {
    "English": "no not none nil never without neither nor cannot isn hasn wasn doesn didn",
    "German": r"kein\w* nicht nichts ohne entfallt",
    "Spanish": "sin ningun[oa]? nunca",
    "French": "pas aucune? sans neant jamais non",
    "Italian": "nessun[oa]? senza",
    "Portuguese": "nao nenhuma? sem",
    "Dutch": "geen niet zonder",
}
_ENDS: Final[dict[str, str]] = {"all": "end ends ended ende endet fin fine fim einde"}
# Before an author, and titles
_AUTHORS: Final[dict[str, str]] = {"all": "by per dr prof durch por par door"}
# Words behind which no object stands: prepositions, and a reference to another place
_LIMITS: Final[dict[str, str]] = {
    "English": "after see with because since upon during at on until before where but",
    "German": "nach siehe wegen mit seit aber",
    "Spanish": "tras ver despues con segun pero",
    "French": "apres voir avec suite mais",
    "Italian": "dopo vedi ma",
    "Portuguese": "apos com na mas",
    "Dutch": "met zie wegens maar",
}
_GRAMMAR: Final[dict[str, str]] = {
    "English": "a an the this that these those my our his her its their i we it is are was were be been being has"
    " have had will should must to of for from in and or as now hereby also please note above below"
    " here s previously previous prior earlier original initial first second third late later final"
    " preliminary new further additional old nd rd st th number dated time date dictated created made"
    " entered issued signed begins? starts? beginning radiologist radiology attending staff resident entry"
    " there which follows following states? says? shows? notice comments? ii iii iv nr one two three"
    " incorrect wrong erroneous inaccurate important urgent critical attention discussion section body wet"
    " overnight attn nb n n\u00ba major minor significant post",
    "German": r"der die das den dem des diese\w? ein eine[nmr]? v vom von zu zum zur ist sind wird wurden? worden"
    r" hiermit und bitte ich wir unser(?:en)? mein(?:en)? vorherige\w* fruhere\w* im ursprungliche\w*"
    r" neue\w* erste\w* zweite\w* lauten lautet wie folgt vorlaufig\w* oben anmerkung hinweis bemerkung"
    r" achtung wichtige? falsch\w* zusatzlich\w*",
    "Spanish": "el la los las lo un una este esta ha sido fue es se del de al y e previ[oa] anterior presente"
    " nuestro yo mi fe leer tardi[oa] nota atencion importante observacion adicional(?:es)?",
    "French": r"le les du d l ce cet cette ces ete est sont au aux et compte notre nous je mon mes precedent\w*"
    " initiale? tardi(?:f|ve) jour point lire remarque attention importante?",
    "Italian": "il gli dello della dell dei di da questo questa allo alla all stat[oa] viene ed nel"
    " io mi[oa] si leggere tardiv[oa] attenzione osservazione aggiuntiv[oaie]",
    "Portuguese": "o os ao do dos foi sera esse essa em eu meu minha ler atencao observacao adicional adicionais",
    "Dutch": "het een dit deze van op wordt werd zijn aan bij voor vorige eerdere nieuwe ons en ik mijn let opmerking",
}
# Words of a heading whose section another one supersedes
_EARLIER: Final[dict[str, str]] = {
    "English": "prelim(?:inary)? initial original previous prior provisional earlier superseded retracted withdrawn"
    " old",
    "German": r"vorlaufig\w* ursprunglich\w* vorherig\w* fruher\w*",
    "Spanish": "preliminar previ[oa] anterior inicial provisional",
    "French": "preliminaire provisoire initiale? precedente? anterieure?",
    "Italian": "preliminare iniziale originale provvisori[oa]",
    "Portuguese": "previo",
    "Dutch": r"voorlopig\w* vorige eerdere oorspronkelijk\w*",
}
_LATEST: Final[dict[str, str]] = {"all": r"final endgultig\w* definitiv\w* definitif definitieve?"}
# A label says what is wrong in a report ("Dictation error:"), or that a note comes late ("Late entry:")
_FAULTS: Final[dict[str, str]] = {
    "all": r"errors? mistakes? discrepanc\w+ \w*fehler error(?:es) erreurs? errore erros? fout(?:en)? falsch\w*"
    r" wrong incorrect erroneous inaccurate mistaken irrtum should disregard\w* ignore"
}
_LATE: Final[dict[str, str]] = {
    "all": r"late tardi\w+ additional supplementary adicional(?:es)? adicionais zusatzlich\w* aggiuntiv[oaie]"
}
_NOTES: Final[dict[str, str]] = {
    "all": r"note entry notice nota notiz report informe \w*befund \w*bericht referto laudo relatorio rapport verslag"
}
# Words of a label that might be of a correction: "Discrepancy:", "Change in interpretation:", "PS:"
_HINTED: Final[dict[str, str]] = {
    "all": r"dis[ck]repan\w+ dis[ck]ordan\w+ diverg\w+ disagree\w+ abweichung\w* change[ds]?"
    r" corr addtl clarif\w+ further weitere additionnel\w* aanvullend\w* edit(?:ed|s)?"
    r" re-?(?:evaluat|assess|review)\w* neubewertung revaloracion rivalutazione reavaliacao"
}
# ... or of what was read again or written below: "Overread:", "Nachbefundung:", "PS:"
_REREAD: Final[dict[str, str]] = {
    "all": r"(?:re|over|post)-?(?:read|interpret)\w* (?:nach|zweit|re-?)befund\w* relecture relectura rilettura"
    r" releitura herbeoordeling herlezing p?ps postscript\w* script\w* posdata"
}
# Readings before the report: "Wet read:"
_FIRST: Final[dict[str, str]] = {"all": "wet overnight resident nighthawk"}
# Words of labels and sentences about the patient, the examination or the author, which reports begin with
_CUSTOM: Final[dict[str, str]] = {
    "all": r"patient\w* pa[cz]ient\w* limit\w* qualit\w* prepara\w* artifact\w* transcri\w* dictat\w* order\w* refer\w*"
    r" disclaimer\w* allerg\w* symptom\w* question\w* request\w* department\w* labs? \w*labor\w* interpreter\w* team"
    r" menstrua\w* pregnan\w* schwanger\w* embara\w* grossesse\w* gravid\w* zwanger\w* weight gewicht\w* poids peso"
    r" screening attest\w* access technologist\w* implant\w* pacemaker\w* zuweis\w* uberweis\w* part status"
    r" confidential\w* e?gfr nurses? isolation diabet\w* fever fieber scanner location priorit\w* contact software cad"
    r" billing mechanism radiographer\w* bmi lmp gestation\w* glucose"
}
# Nouns that stand for a sign or a measurement, too ("Retraction: nipple"), and what corrects the body
_SIGNS: Final[dict[str, str]] = {"all": "retractions? complement precision"}
_TREATMENTS: Final[dict[str, str]] = {"all": r"surg\w+ (?:c|k)h?irurg\w+ quirurg\w+ operati\w+ orthotic orthopa?edic"}
# Words by which a report speaks of itself
_OWN: Final[dict[str, str]] = {
    "all": "this my our diese[rsmn]? mein(?:en)? unser(?:en)? este esta presente nuestro ce cet cette notre mon"
    " questo questa meu dit deze mijn ons",
}
# Reports of somebody else
_ELSEWHERE: Final[dict[str, str]] = {"all": "outside pathology lab laboratory operative biopsy extern"}
# Nouns that can only mean a document
_DOCUMENTS: Final = re.compile(r"(?:add?end|adde[mn]|added|errat|corrigend|nachtrag|naschrift|additif|aditament)\w*")
_HYPHEN: Final = re.compile(r"[-\u2010\u2011]")
_LETTERS: Final = re.compile(r"[^\W\d_]{3,}(?:[-\u2010\u2011][^\W\d_]+)*")
TOKEN: Final = re.compile(
    r"(?P<word>[^\W\d_]+(?:[-\u2010\u2011][^\W\d_]+)*)"
    r"|(?P<number>\d(?:[\d/.:-]*(?:\dT\d[\d:]*)?\d)?(?:[sS][tT]|[nNrR][dD]|[tT][hH]|\u00ba|\u00aa)?(?![^\W_]))"
    r"|(?P<bracket>[(\[][^()\[\]\n]{0,60}[)\]])|(?P<mark>[^\w\s]|_)|(?P<other>\n|\w)"
)
"""Word, number, text in brackets, or mark."""
_NUMBERED: Final = re.compile(r"[.\s]{0,2}\d|\s(?:laudo|relat\w+|texto)\b", re.IGNORECASE)  # "No. 2", "no laudo"
_WITHOUT_BRACKETS: Final = dict.fromkeys(map(ord, "()[]"), " ")
_BEFORE_VERB: Final = frozenset({"to", "please", "i", "we"})
AUTHOR_WORDS: Final = 6
"""Words of a name after "by" or "Dr"."""
_CORRECTING: Final[tuple[Kind, ...]] = (
    "noun",
    "verb",
    "report",
    "grammar",
)  # kinds that make a compound, the first first


class Word(NamedTuple):
    """Word of a sentence: its kind, and the word without accents in lower case."""

    kind: Kind
    plain: str

    def has(self, trait: Trait) -> bool:
        """True if the word stands in a table that does not decide its kind."""
        return _traits()[trait].fullmatch(self.plain) is not None


def hints(text: str) -> bool:
    """True if a text has a word that may correct; most texts have none."""
    return any(map(_hints, set(_LETTERS.findall(text))))


@lru_cache(maxsize=8192)
def _hints(word: str) -> bool:
    found = Word(kind_of(word), plainly(word))
    return found.kind in {"noun", "verb"} or found.has("fault") or found.has("late")


@lru_cache(maxsize=8192)
def kind_of(word: str) -> Kind:
    """Kind of a word; a compound of other than correcting words is about something else: attenuation-corrected."""
    plain = plainly(word)
    if _HYPHEN.search(plain) and "rendu" not in plain:
        kinds = {kind_of(part) for part in _HYPHEN.split(plain)}
        return next((kind for kind in _CORRECTING if kind in kinds), "other") if kinds <= {*_CORRECTING} else "other"
    found = _kinds().fullmatch(plain)
    return _FORMS[found.lastindex - 1][0] if found and found.lastindex else "other"


def plainly(word: str) -> str:
    """Return a word without accents in lower case."""
    if word.isascii():
        return word.lower()
    letters = unicodedata.normalize("NFD", word.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def kind_at(token: re.Match[str], last: str) -> Kind:
    """Kind of the word at a token, after the word `last`: "No. 2" is no negation, "in addition" no addition."""
    kind, plain = kind_of(token["word"]), plainly(token["word"])
    if kind == "negation" and plain == "no" and _NUMBERED.match(token.string, token.end()):
        return "grammar"
    is_adjective = plain == "correct" and last not in _BEFORE_VERB
    return "other" if is_adjective or (kind == "noun" and last in {"in", "for"}) else kind


def words(text: str) -> Iterator[Word]:
    """Yield the words and dates of a text, without those of an author."""
    authors, last = 0, ""
    for token in TOKEN.finditer(text.translate(_WITHOUT_BRACKETS)):
        if token["number"]:
            yield Word("date", token[0])
        elif token["word"]:
            kind = kind_at(token, last)
            if kind == "other" and authors and token[0][0].isupper():
                authors -= 1
                continue
            authors = AUTHOR_WORDS if kind == "author" else 0
            last = plainly(token["word"])
            yield Word(kind, last)


def _stems(*tables: Mapping[str, str]) -> str:
    return "|".join(stem for table in tables for row in table.values() for stem in row.split())


_DEED: Final = rf"(?:{_stems(_NOUNS, _COMMON_NOUNS)})(?:en|es|e|s|n)?"
# A word has the first kind that fits
_FORMS: Final[tuple[tuple[Kind, str], ...]] = (
    # "Korrekturbefund", "Befundkorrektur", "correctieverslag"
    (
        "noun",
        rf"{_DEED}|{_DEED}s?(?:befund|bericht|hinweis|verslag|rapport)\w*|(?:befund|bericht|verslag|seiten|text|diktat)s?{_DEED}",
    ),
    ("verb", _stems(_VERBS, _COMMON_VERBS)),
    ("negation", _stems(_NEGATIONS)),
    ("end", _stems(_ENDS)),
    ("author", _stems(_AUTHORS)),
    ("limit", _stems(_LIMITS)),
    ("grammar", _stems(_GRAMMAR)),
    ("subject", "|".join(re.escape(part) for name in (*MODALITIES, *REGIONS) for part in name.split())),
    ("report", _stems(_REPORTS, _PARTS)),
    ("date", _stems(_DATES)),
)


@cache
def _kinds() -> re.Pattern[str]:
    """Compile the kinds of words on first use: it is slow, and most commands read no text."""
    return re.compile("|".join(f"({forms})" for _, forms in _FORMS))


@cache
def _traits() -> dict[str, re.Pattern[str]]:
    tables = {"vague": _PARTS, "earlier": _EARLIER, "latest": _LATEST, "own": _OWN, "elsewhere": _ELSEWHERE}
    tables |= {"fault": _FAULTS, "late": _LATE, "note": _NOTES, "hinted": _HINTED, "reread": _REREAD, "first": _FIRST}
    tables |= {"sign": _SIGNS, "treatment": _TREATMENTS}
    made = {name: re.compile(_stems(table)) for name, table in tables.items()}
    others = HEADINGS.keys() - {"addendum", "findings", "findings_impression", "impression"}
    headed = {plainly(one) for label in others for phrase in HEADINGS[label] for one in re.split(r"[\s/]+", phrase)}
    made["custom"] = re.compile("|".join((_stems(_CUSTOM), *map(re.escape, sorted(headed)))))
    return {**made, "certain": re.compile(rf"(?:{_stems(_NOUNS, _VERBS)})(?:en|es|e|s|n)?"), "document": _DOCUMENTS}
