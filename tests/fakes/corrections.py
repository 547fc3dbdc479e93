"""Texts with one correction, made of stem, form, place and language; and sentences that correct nothing (D36)."""

from __future__ import annotations

from typing import Final

# Language -> nouns of correcting, and a report with the participle that corrects it
NOUNS: Final[dict[str, tuple[str, ...]]] = {
    "en": ("addendum", "amendment", "erratum", "correction", "retraction", "corrigendum"),
    "de": ("Nachtrag", "Berichtigung", "Korrektur", "Ergänzung", "Korrekturbefund"),
    "es": ("adenda", "enmienda", "corrección", "rectificación", "fe de erratas"),
    "fr": ("additif", "rectificatif", "correctif", "erratum"),
    "it": ("addendum", "rettifica", "errata corrige", "integrazione"),
    "pt": ("adendo", "errata", "retificação", "aditamento"),
    "nl": ("addendum", "correctie", "aanvulling", "rectificatie"),
}
REPORTS: Final[dict[str, tuple[str, ...]]] = {
    "en": (
        "amended report",
        "corrected report",
        "revised interpretation",
        "correction notice",
        "supplementary report",
        "report (corrected)",
    ),
    "de": ("korrigierter Befund", "ergänzter Bericht", "berichtigter Befund"),
    "es": ("informe corregido", "informe rectificado", "informe complementario"),
    "fr": ("compte rendu rectificatif", "compte-rendu corrigé"),
    "it": ("referto rettificato", "referto corretto", "referto sostitutivo"),
    "pt": ("laudo retificado", "relatório corrigido"),
    "nl": ("gecorrigeerd verslag", "herzien verslag"),
}
SENTENCES: Final[dict[str, str]] = {
    "en": "This report has been amended.",
    "de": "Dieser Befund wurde korrigiert.",
    "es": "Este informe ha sido corregido.",
    "fr": "Ce compte rendu a été corrigé.",
    "it": "Questo referto è stato rettificato.",
    "pt": "Este laudo foi retificado.",
    "nl": "Dit verslag is gecorrigeerd.",
}
# `{}` is the label
LABELS: Final = (
    *("{}: ", "{} 1/6/2026: ", "{} (06.01.2026 10:15): ", "***{} 1/6/2026*** ", "<<{}>> ", "[{} 1/6/2026]: ", "{} - "),
    *("=== {} ===\n", "*** {} ***\n", "{} #2 by Dr. A. Smith on 1/6/2026 at 10:15 AM: "),
    *(
        "//{}// ",
        "• {}: ",
        "2) {}: ",
        "{}>>> ",
        "{} | ",
        '"{}": ',
        "!!! {} !!!\n",
        "[[{}]] ",
        "{}; ",
        "\\\\{}\\\\ ",
        "Note: {}: ",
    ),
    "{}.- ",
    *("{} II: ", "{} comment: ", "{} 2026-01-06T10:15: ", "{} by Jane Doe, MD at 10:15 AM on January 6th, 2026: "),
)
# Labels that are no noun of correcting and no report with a participle
WHOLE_LABELS: Final = (
    *("AMENDED: ", "[CORRECTED] ", "*** RETRACTED *** ", "KORRIGIERT: ", "Corregido: ", "CORRIGÉ : ", "RETTIFICATO: "),
    *(
        "Dictation error: ",
        "Error in report: ",
        "Diktatfehler: ",
        "Falsche Seite: ",
        "Aanvullende bevindingen: ",
        "Error de dictado: ",
        "Erreur de frappe : ",
    ),
    *("Errore di trascrizione: ", "Erro de digitação: ", "Typefout: ", "Late entry: ", "Supplementary note: "),
    *("Nota aclaratoria: ", "Nota rettificativa: ", "Nota rectificativa: ", "Naschrift: ", "Annule et remplace : "),
    *("Impression should read: ", "URGENT CORRECTION: ", "2ND ADDENDUM: ", "Radiology addendum: ", "Addendum nº 2: "),
    *(
        "ADDENDUM / 1/6/2026 / JS: ",
        "Note: correction to report of 1/6/2026: ",
        "Updated 1/6/2026 JD: ",
        "Nachtrag v. 6.1.26: ",
        "NOTA ADICIONAL.- ",
        "Rescinded: ",
        "Nachtr\u00e4glich erg\u00e4nzt: ",
        "AMENDED REPORT\n1/6/2026\n",
        "Amended impression: ",
    ),
)
# Findings and impression, which a correction may stand above, between, below, or behind the signature of
BODIES: Final = {
    "en": ("FINDINGS: Lungs clear.", "IMPRESSION: {} is stable."),
    "de": ("Befund: Lunge frei.", "Beurteilung: {} unverändert."),
    "es": ("HALLAZGOS: Pulmones libres.", "CONCLUSIÓN: {} estable."),
    "fr": ("RÉSULTATS : Poumons clairs.", "CONCLUSION : {} stable."),
    "it": ("REPERTI: Polmoni liberi.", "CONCLUSIONI: {} stabile."),
    "pt": ("ACHADOS: Pulmões livres.", "CONCLUSÃO: {} estável."),
    "nl": ("BEVINDINGEN: Longen vrij.", "CONCLUSIE: {} stabiel."),
}
SIGNATURE: Final = "Electronically signed by ALEX SMITH MD"
PLACES: Final = ("above", "below a title", "between", "below", "behind the signature")
# Passages that might correct a report, and do not say so
UNCLEAR: Final = (
    "Amended after discussion with the surgeon. {} is seen.",
    "See addendum below. {} is seen.",
    "As corrected, {} is seen.",
)
# Labels that might be of a correction, in texts that say no more
HINTED: Final = (
    *(
        "Discrepancy: {} is",
        "Additional findings: {} is",
        "PS: {} is",
        "P.S.: {} is",
        "P.S. {} is",
        "Post script: {} is",
        "Additional finding: {} is",
        "Withdrawn: {} is",
    ),
    *("Change in interpretation: {} is", "Updated:\n{} is", "Discordance with prelim: {} is", "Mistake: {} is"),
    *("Zusätzliche Befunde: {} ist", "Geändert: {} ist", "Hallazgos adicionales: {} es"),
    *("Discordance : {} est", "Retiré : {} est", "Reperti aggiuntivi: {} è", "Errore: {} è"),
    *("Achados adicionais: {} é", "Retirado: {} é", "Discrepantie: {} is"),
)
# Labels of no custom above a report with findings: of what was read again, or of nobody's vocabulary
REMARKED: Final = (
    *("Overread: {} is", "Second look: {} is", "Re-read 06/01/2026: {} is", "QA review: {} is", "[EDIT] {} is"),
    *("***Second opinion*** {} is", "Final read differs: {} is", "*** POST SIGNATURE COMMENT ***\n{} is"),
    *("Zweitbefund: {} ist", "Segunda lectura: {} es", "Relecture : {} est", "Rilettura: {} è"),
    *("Herbeoordeling: {} is", "Releitura: {} é", "Zornblatt: {} is", "Image review 1/6/2026 14:20: {} is"),
)
# Labels that might be of a correction inside the findings: they name a report or a date, or what was read again
INSIDE: Final = (
    *("Overread: {} is", "Changed impression: {} is", "Change to preliminary read: {} is", "Re-Befundung: {} ist"),
    *("Relecture du 6/1/2026: {} est", "Major discrepancy 1/6/2026: {} is", "Rilettura: {} è", "P.S. {} is"),
    *("Discrepancy with the report: {} is", "Re-evaluation 1/6/2026: {} is"),
)
# Labels with a sentence about the patient or the examination
CUSTOMARY: Final = (
    *("Limitations: The study is limited by motion.", "Labs: WBC is 12."),
    *("Technologist comments: No IV access was obtained.", "Schwangerschaft: Es ist keine bekannt."),
    *("Peso: El peso es 70.", "Pacemaker: There is no pacemaker.", "Resident read: There is no embolus."),
    *(
        "Motion correction: It was used.",
        "Correction osteotomy: There is no loosening.",
        "Change of tube: It was done.",
    ),
    *("Revised Atlanta classification: It is mild.", "Modified barium swallow: There is aspiration."),
    *("Safety: The patient was moved.", "Prior surgery: There was a resection."),
)
# Sentences that correct nothing: negated, or about something else
OTHERS: Final = (
    *("No addendum.", "Keine Nachträge.", "Sin adendas.", "Pas d'addendum.", "Nessun addendum.", "Sem adendo."),
    *("Geen addendum.", "PET with attenuation-corrected images.", "The tendon is retracted 3 cm.", "Amended order."),
    *(
        "Retracted tendon on the prior MRI.",
        "Contrast added.",
        "The amended protocol was used.",
        "Corrected QT 440 ms.",
    ),
    *("Motion-corrected images were obtained.", "Values were corrected for blood pool.", "In addition, a CT was done."),
    *("This report has not been amended.", "History of scoliosis correction surgery.", "Order updated 1/6/2026."),
    *("Hip replaced in 2010.", "Flow voids are normal.", "Revised 2017 criteria were used.", "Lens correction."),
    *("Please contact us for corrections.", "Korrigierte Skoliose.", "Kontrastmittel wurde ergänzt."),
    *(
        "Amendment of soil.",
        "Rectificación: de la lordosis",
        "Corrected gestational age: 32 weeks.",
        "Error bars: 95 %.",
    ),
    *(
        "Revised 2017 criteria: fulfilled.",
        "Additional views: none.",
        "Hip revision: no loosening.",
        "Late phase: washout.",
    ),
    *("Note: errors may occur.", "There may be transcription errors in this report.", "Adenom: 2 cm.", "Void: 20 mL."),
    *("Leg length discrepancy: 1 cm.", "Modified Fisher grade: 3.", "Lagekorrektur der Sonde.", "Entry: left flank."),
    *("Every effort was made to correct errors.", "Étude complémentaire.", "Estudio complementario."),
    *("Retraction: nipple, left.", "Complement: C3 low.", "Precision: 0.5 mm.", "Corrección: quirúrgica en 2010."),
    *("Additional findings: none.", "Additional history: The patient is a smoker.", "PS: 5/5.", "Change: stable."),
    *(
        "Updated: 1/6/2026 10:15",
        "Note: The patient was moving.",
        "Refractive error: The patient is myopic.",
    ),
)
# Sections that say that there is no addendum
NEGATED: Final = ("Addendum: none.", "ADDENDUM: N/A", "Addenda: None", "ADDENDUM:\nNo addendum.", "Addendum: keine")


def placed(passage: str, language: str, place: str, word: str) -> str:
    """Put a passage into a text whose impression has the word; an empty one changes nothing."""
    findings, impression = BODIES[language][0], BODIES[language][1].format(word)
    parts = {
        "above": (passage, findings, impression, SIGNATURE),
        "below a title": ("CT CHEST", passage, findings, impression, SIGNATURE),
        "between": (findings, passage, impression, SIGNATURE),
        "below": (findings, impression, passage, SIGNATURE),
        "behind the signature": (findings, impression, SIGNATURE, passage),
    }
    return "\n\n".join(part for part in parts[place] if part)
