"""Table of headings that radiologists write over the sections of a report (such as FINDINGS), with section labels.

Carries out no clause of a standard: headings are a custom. The labels are the keys of `mappings.codes.SECTION_LOINC`
and, for headings without a code there, the heading's name in snake case.
Proved by tests/mappings/sections/test_sections.py and tests/mappings/test_section_score.py.
"""

from __future__ import annotations

from typing import Final

# Weak words head a section only if the report has no plainer heading for it, since a title, a table or a remark begins
# alike. "body": the findings, like REPORT in a British report. "conclusion": the impression. "remark": the impression,
# or the findings of a report with an IMPRESSION and no FINDINGS. "summary": the impression, first or last.
WEAK_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "body": (
        *("report", "final report", "radiology report", "fx", "result", "results", "narrative", "description"),
        *("discussion", "details", "informe", "descripción", "descripcion", "compte rendu", "compte-rendu"),
        *("relatório", "relatorio", "laudo", "análise", "analise", "descrição", "descricao", "descrizione"),
        *("verslag",),
    ),
    "conclusion": (
        *("assessment", "diagnosis", "diagnoses", "dx", "final assessment", "overall assessment", "final diagnosis"),
        *("assessment category", "final assessment category", "overall final assessment", "bi-rads assessment"),
        *("diagnose", "ergebnis", "diagnóstico", "diagnostico", "juicio diagnóstico", "juicio clínico", "diagnosi"),
        *("diagnosi conclusiva",),
    ),
    "remark": (
        *("comment", "comments", "additional comments", "interpretation", "comentario", "comentarios", "comentários"),
        *("commentaire", "commento", "kommentar"),
    ),
    "summary": ("summary",),
}

# label -> phrases, lower case; English, then German, Spanish, French, Italian, Portuguese, Dutch
HEADINGS: Final[dict[str, tuple[str, ...]]] = {
    "addendum": (
        *("addendum", "addenda", "addendum report", "addendum to report", "addendum note", "report addendum"),
        *("addendum begins", "addendum begin", "addendum starts", "addendum start", "begin addendum"),
        *("beginning of addendum", "start of addendum", "late addendum", "radiologist addendum", "first addendum"),
        *("second addendum", "third addendum", "amendment", "supplementary report", "supplemental report"),
        *("addendum impression", "addendum to impression", "impression addendum", "addendum findings"),
        *("addendum conclusion", "correction", "correction to report", "staff addendum", "attending addendum"),
        *("resident addendum", "final addendum", "additional addendum"),
    ),
    "anesthesia": ("anesthesia", "anaesthesia", "sedation", "anesthesia/sedation", "sedation/anesthesia"),
    "comparison": (
        *("comparison", "comparisons", "comparison study", "comparison studies", "comparison exam", "comparison exams"),
        *("comparison examination", "comparison examinations", "comparison imaging", "comparison film"),
        *("comparison films", "comparison date", "comparison made to", "comparison to", "comparison with"),
        *("compared to", "compared with", "comparision", "comp", "priors", "relevant priors", "prior study"),
        *("prior studies", "prior report", "prior reports", "prior reports for reference"),
        *("prior exam", "previous report", "previous reports", "prior results", "prior exams", "prior examination"),
        *("prior examinations",),
        *("prior imaging",),
        *("previous study", "previous studies", "previous exam", "previous exams", "previous examination"),
        *("previous examinations", "previous imaging", "relevant prior studies", "correlative studies"),
        *("vergleich", "voraufnahmen", "voruntersuchung", "voruntersuchungen"),
        *("comparación", "comparacion", "comparaison", "confronto", "comparação", "vergelijking"),
    ),
    "complications": (
        *("complication", "complications", "immediate complications", "contrast reaction", "adverse reactions"),
        *("adverse reaction", "adverse events"),
    ),
    "consent": ("consent", "informed consent"),
    "contrast": ("contrast", "contrast agent", "contrast material", "contrast media"),
    "critical_result": (
        *("critical result", "critical results", "critical finding", "critical findings", "critical value"),
        *("critical values", "critical communication", "critical result communication"),
        *("critical results communication", "communication of critical result", "communication of critical results"),
        *("communication of critical finding", "communication of critical findings"),
        *("critical result/communication", "critical results/communication", "critical result notification"),
        *("critical results notification", "critical findings communication", "communication", "communications"),
        *("communication of results", "communication of findings", "communication of significant findings"),
        *("notification", "notifications", "result communication", "results communication", "urgent finding"),
        *("urgent findings", "urgent result", "urgent results", "result notification", "results notification"),
        *("notification of results", "physician notification", "provider notification", "actionable finding"),
        *("actionable findings", "communication of urgent findings", "critical test result", "critical test results"),
        *("non-routine communication", "nonroutine communication", "verbal communication", "communication note"),
        *("urgent communication", "critical results called", "critical call", "critical result reporting"),
    ),
    "estimated_blood_loss": ("estimated blood loss", "blood loss", "ebl"),
    "examination": (
        *("exam", "exams", "examination", "examinations", "study", "exam performed", "examination performed"),
        *("study performed", "exam description", "type of exam", "type of examination", "type of study"),
        *("exam/procedure", "examination/procedure", "exam type", "exam name", "exam title", "examination type"),
        *("study type", "study name", "study description", "name of exam", "name of examination"),
        *("untersuchung", "exploración", "exploracion", "examen", "esame", "exame", "onderzoek"),
    ),
    "findings": (
        *("finding", "findings", "observations", "observation", "description of findings", "detailed findings"),
        *("general findings", "main findings", "pertinent findings", "positive findings", "procedural findings"),
        *("procedure findings", "intraprocedural findings", "key findings", "significant findings"),
        *("relevant findings", "exam findings", "examination findings", "study findings", "body of report"),
        *("report body", "find", "fdgs", *WEAK_WORDS["body"]),
        *("befund", "befunde", "hallazgos", "résultat", "résultats", "resultat", "resultats", "constatations"),
        *("reperti", "referto", "achados", "bevindingen"),
    ),
    "findings_impression": (
        *("findings and impression", "findings/impression", "findings and impressions"),
        *("findings/impressions", "findings and conclusion", "findings/conclusion", "findings and opinion"),
        *("findings and interpretation", "findings/interpretation", "impression and findings", "impression/findings"),
        *("narrative and impression", "narrative/impression"),
        *("befund und beurteilung", "befund/beurteilung"),
    ),
    "history": (
        *("history", "clinical history", "clinical information", "clinical info", "clinical data", "clinical details"),
        *("clinical background", "clinical notes", "clinical note", "patient history", "relevant history"),
        *("relevant clinical history", "relevant clinical information", "relevant clinical details"),
        *("pertinent history", "pertinent clinical history", "medical history", "brief history"),
        *("brief clinical history", "history of present illness", "past medical history", "clinical summary"),
        *("clinical presentation", "clinical context", "clinical statement", "clinical problem", "clinical"),
        *("clinical diagnosis", "presenting complaint", "chief complaint", "oncologic history", "oncology history"),
        *("underlying medical condition", "medical condition", "hx", "clinical hx", "clin hx", "clin info", "clin"),
        *("hist", "pt hx", "hpi", "pmh"),
        *("klinische angaben", "klinische angabe", "klinik", "anamnese"),
        *("datos clínicos", "datos clinicos", "antecedentes", "historia clínica", "historia clinica"),
        *("renseignements cliniques", "antécédents", "contexte clinique", "anamnesi", "dati clinici"),
        *("dados clínicos", "história clínica", "klinische gegevens"),
    ),
    "impression": (
        *("impression", "impressions", "conclusion", "conclusions", "opinion", "opinions", "concluding remarks"),
        *("provisional impression", "summary and conclusion", "impression and plan", "impression/plan"),
        *("diagnostic opinion", "diagnostic conclusion", "diagnostic interpretation", "diagnostic summary"),
        *("bottom line", "final read", "executive summary", "radiographic diagnosis"),
        *("impression and recommendation", "impression and recommendations", "diagnostic impression"),
        *("impression/recommendation", "impression/recommendations", "summary of impression", "impression summary"),
        *("radiological diagnosis", "radiologic diagnosis", "radiology diagnosis", "imaging diagnosis"),
        *("ultrasound diagnosis", "sonographic diagnosis", "imp", "impr", "impres", "impresion", "concl"),
        *("beurteilung", "zusammenfassung", "zusammenfassende beurteilung", "impresión", "impresión diagnóstica"),
        *("impresion diagnostica", "conclusión", "conclusiones", "conclusioni", "conclusione", "conclusão"),
        *("impressão", "impressão diagnóstica", "conclusie", "conclusões", "conclusies", "bewertung"),
        *("gesamtbeurteilung", "opinión", "opinião", "hipótese diagnóstica", "hipóteses diagnósticas", "resumen"),
        *("synthèse", "synthese", "au total", "en conclusion", "interprétation", "sintesi", "impressione"),
        *("impressione diagnostica", "samenvatting", "besluit", "epikrise", "epicrisis", "epicrisi"),
        *(*WEAK_WORDS["conclusion"], *WEAK_WORDS["remark"], *WEAK_WORDS["summary"]),
    ),
    "indication": (
        *("indication", "indications", "clinical indication", "clinical indications", "clinical question"),
        *("indication/clinical question", "indication for exam", "indication for examination", "indication for study"),
        *("indication for procedure", "indications for procedure", "indications for exam", "indications for study"),
        *("reason for exam", "reason for examination", "reason for study", "reason for procedure", "reason for scan"),
        *("reason for referral", "reason for visit", "reason for this exam", "reason for this examination"),
        *("reason for test", "reason for order", "reason for request", "reason for imaging", "reason", "exam reason"),
        *("exam indication", "study indication", "clinical reason", "clinical request", "clinical impression"),
        *("request details",),
        *("referral details", "referral diagnosis", "referring diagnosis", "ordering diagnosis", "admitting diagnosis"),
        *("provisional diagnosis", "preprocedure diagnosis", "pre-procedure diagnosis", "preoperative diagnosis"),
        *("pre-operative diagnosis", "presenting problem", "ind", "indic", "rfe"),
        *("indication/history", "history/indication", "indication and history", "history and indication"),
        *("clinical history/indication", "clinical indication/history", "clinical history and indication"),
        *("fragestellung", "klinische fragestellung", "indikation", "rechtfertigende indikation"),
        *("indicación", "indicacion", "indicaciones", "motivo del estudio", "motif", "motif de l'examen"),
        *("indicazione", "quesito clinico", "quesito diagnostico", "indicação", "indicação clínica", "vraagstelling"),
    ),
    "materials": ("materials", "devices"),
    "medications": ("medication", "medications"),
    "plan": ("plan", "management", "management plan", "disposition"),
    "postprocedure_diagnosis": (
        *("postprocedure diagnosis", "post-procedure diagnosis", "postoperative diagnosis"),
        *("post-operative diagnosis",),
    ),
    "procedure": (
        *("procedure", "procedures", "procedure performed", "procedures performed", "procedure details"),
        *("procedure description", "description of procedure", "procedure in detail", "procedure note"),
    ),
    "radiation_dose": (
        *("radiation dose", "radiation exposure", "dose report", "fluoroscopy time", "fluoro time"),
        *("fluoroscopy dose", "dose reduction", "ct dose", "dose information", "dlp", "total dlp", "radiation"),
    ),
    "recommendation": (
        *("recommendation", "recommendations", "follow-up recommendation", "follow-up recommendations"),
        *("follow up recommendations", "further recommendations", "management recommendations", "suggestion"),
        *("suggestions", "advice", "follow-up", "follow up", "followup", "recs", "rec"),
        *("recommended follow-up", "recommended follow up", "suggested follow-up", "follow-up imaging", "next steps"),
        *("clinical recommendation", "clinical recommendations", "imaging follow-up", "recommended management"),
        *("empfehlung", "empfehlungen"),
        *("recomendación", "recomendaciones", "recommandation", "recommandations"),
        *("raccomandazioni", "recomendações"),
    ),
    "specimens": ("specimen", "specimens", "specimens removed"),
    "technique": (
        *("technique", "techniques", "scan technique", "technique and contrast", "scanning technique"),
        *("exam technique", "study technique", "technical factors", "technical details", "technical information"),
        *("technical description", "scan protocol", "imaging protocol", "protocol", "methods", "method"),
        *("methodology", "sequences", "views", "radiopharmaceutical", "radiotracer", "tech"),
        *("technik", "untersuchungstechnik", "técnica", "tecnica", "techniek"),
    ),
}

# Headings with these labels may name their subject: FINDINGS ABDOMEN, IMPRESSION - CT HEAD, LEFT KNEE FINDINGS
QUALIFIABLE: Final = frozenset(
    {"addendum", "comparison", "findings", "findings_impression", "impression", "recommendation", "technique"}
)
# Names of examinations; names of organs are not included, they head parts of the findings
MODALITIES: Final = (
    *("ct", "cta", "ctv", "cect", "ncct", "hrct", "cbct", "mr", "mri", "mra", "mrv", "mrcp", "pet", "pet/ct", "pet-ct"),
    *("pet/mr", "spect", "us", "ultrasound", "sonogram", "doppler", "duplex", "echo", "x-ray", "xray", "xr", "cr"),
    *("radiograph", "radiographs", "cxr", "kub", "mammogram", "mammography", "mammo", "tomosynthesis", "dexa", "dxa"),
    *("bone scan", "scan", "fluoroscopy", "angiogram", "angiography", "venogram", "arthrogram", "myelogram"),
    *("arteriogram", "nuclear medicine", "fdg", "v/q"),
)
REGIONS: Final = (
    *("abdomen", "abd", "pelvis", "abdomen/pelvis", "abd/pelvis", "chest", "thorax", "brain", "head", "neck", "spine"),
    *("c-spine", "t-spine", "l-spine", "cervical", "thoracic", "lumbar", "lumbosacral", "sacrum", "breast", "breasts"),
    *("heart", "cardiac", "coronary", "coronary arteries", "knee", "knees", "shoulder", "shoulders", "hip", "hips"),
    *("ankle", "ankles", "wrist", "wrists", "elbow", "elbows", "hand", "hands", "foot", "feet", "finger", "toe"),
    *("femur", "tibia", "fibula", "tibia/fibula", "humerus", "forearm", "leg", "legs", "arm", "arms", "thigh"),
    *("extremity", "extremities", "lower extremity", "upper extremity", "face", "facial bones", "maxillofacial"),
    *("orbit", "orbits", "sinus", "sinuses", "temporal bones", "pituitary", "iac", "iacs", "soft tissue", "aorta"),
    *("carotid", "carotids", "renal", "venous", "arterial", "vascular", "thyroid", "prostate", "scrotum", "testes"),
    *("body", "bone", "obstetric", "ob", "fetal", "rib", "ribs", "clavicle", "whole body", "skull"),
)
# Other words allowed before such a heading: LEFT KNEE FINDINGS, RADIOLOGIST'S IMPRESSION
NAMING: Final = (
    *(*MODALITIES, *REGIONS, "left", "right", "bilateral", "lt", "rt", "imaging", "radiographic", "radiologic"),
    *("radiological", "radiology", "radiologist", "radiologist's", "sonographic", "mammographic", "scintigraphic"),
    *("angiographic", "fluoroscopic", "preliminary", "prelim", "initial", "final", "overall", "combined", "revised"),
    *("amended", "corrected", "updated", "intraoperative", "operative", "endoscopic", "echocardiographic"),
    *("cystographic", "venographic", "arthrographic", "urographic", "myelographic", "tomographic"),
    *("cholangiographic", "videofluoroscopic", "abdominal", "pelvic", "non-cardiac", "noncardiac"),
    *("extracardiac", "key", "reporter's"),
)
# ... and after or between them: FINDINGS OF THE RIGHT HIP, IMPRESSION (CONTINUED)
QUALIFIERS: Final = (
    *(*NAMING, "lower", "upper", "limited", "complete", "diagnostic", "screening", "and", "of the", "of", "for", "on"),
    *("with", "without", "w/o", "w/wo", "contrast", "iv", "low dose", "portable", "single view", "views", "view"),
    *("continued", "cont", "cont'd", "by system"),
)
# Words allowed beside a heading after a slash or "and": IMPRESSION AND PLAN, TECHNIQUE/FINDINGS
SECOND_WORDS: Final = (
    *("finding", "findings", "impression", "impressions", "conclusion", "conclusions", "interpretation", "opinion"),
    *("summary", "recommendation", "recommendations", "plan", "comment", "comments", "discussion", "diagnosis"),
    *("assessment", "history", "indication", "indications", "technique", "comparison", "procedure", "report"),
    *("imp", "rec", "recs", "plan of care", "treatment plan", "follow-up", "follow up", "management", "advice"),
    *("suggestion", "suggestions", "differential diagnosis", "differential", "next steps", "disposition"),
    *("befund", "befunde", "beurteilung", "zusammenfassung", "diagnose", "empfehlung", "empfehlungen", "epikrise"),
    *("hallazgos", "impresión", "conclusión", "conclusiones", "recomendaciones", "résultat", "résultats", "synthèse"),
    *(
        "reperti",
        "referto",
        "conclusione",
        "conclusioni",
        "achados",
        "impressão",
        "conclusão",
        "bevindingen",
        "conclusie",
    ),
)
# Words between two headings that are one: FINDINGS AND IMPRESSION
JOINING: Final = ("and", "und", "y", "e", "ed", "et", "en")
