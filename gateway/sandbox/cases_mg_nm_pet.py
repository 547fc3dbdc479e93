"""Mammography, nuclear medicine and PET procedures and texts of their reports, all written for this sandbox.

Carries out no clause of a standard; no text is of a real patient.
"""

from __future__ import annotations

from typing import Final

from gateway.sandbox.cases import Procedure, ReportCase

MAMMOGRAPHY: Final = (
    Procedure(
        "MG",
        "Screening Mammogram bilateral with tomosynthesis",
        "MAMMO SCREENING BILATERAL TOMO",
        "CC and MLO views of both breasts with tomosynthesis and CAD.",
        ("Annual screening.",),
        (
            ReportCase(
                (
                    "Composition: b. Scattered areas of fibroglandular density.",
                    "Masses: None.",
                    "Calcifications: Benign, vascular.",
                    "Axillae: Unremarkable.",
                ),
                ("BI-RADS 1: negative.",),
                recommendation="Screening mammogram in 12 months.",
            ),
            ReportCase(
                (
                    "Composition: c. Heterogeneously dense.",
                    "{side} breast: Grouped fine pleomorphic calcifications over {n} mm, upper outer.",
                ),
                ("BI-RADS 0: incomplete.",),
                recommendation="Magnification views of the {side} breast.",
            ),
        ),
        patient_sex="female",
    ),
    Procedure(
        "Mammography",
        "Diagnostic Mammogram unilateral",
        "MAMMO DIAGNOSTIC {side}",
        "Spot compression and magnification views, full-field digital.",
        ("Palpable lump.", "Recall from screening."),
        (
            ReportCase(
                (
                    "{side} breast: {n} mm irregular mass with spiculated margin at 10 o'clock, 6 cm from the nipple.",
                    "Skin: No thickening.",
                    "Axilla: One node with thickened cortex.",
                ),
                ("BI-RADS 5: highly suggestive of malignancy.",),
                recommendation="Ultrasound-guided core biopsy of mass and node.",
            ),
        ),
        patient_sex="female",
    ),
)

NUCLEAR: Final = (
    Procedure(
        "NM",
        "NM Bone Scan whole body",
        "NM BONE SCAN WHOLE BODY",
        "Planar whole-body images 3 h after 25 mCi (925 MBq) Tc-99m MDP.",
        ("Prostate cancer, bone pain.", "Staging."),
        (
            ReportCase(
                ("Skeleton: Focal uptake in the {side} 6th rib and at {level}.", "Kidneys: Seen symmetrically."),
                ("Two foci suspicious for osseous metastases.",),
                recommendation="MRI of the spine.",
            ),
            ReportCase(
                ("Skeleton: Degenerative uptake in shoulders and knees.", "Kidneys: Seen."),
                ("No scintigraphic evidence of metastases.",),
            ),
        ),
    ),
    Procedure(
        "NM",
        "NM Ventilation-Perfusion lung scan",
        "NM LUNG V/Q SCAN",
        "Tc-99m DTPA aerosol ventilation, 4 mCi Tc-99m MAA perfusion, eight views.",
        ("Dyspnea, contrast allergy.",),
        (
            ReportCase(
                ("Ventilation: Homogeneous.", "Perfusion: {n} segmental mismatched defects, mostly {side}."),
                ("High probability of pulmonary embolism.",),
                critical=True,
            ),
        ),
    ),
    Procedure(
        "NM",
        "NM Myocardial Perfusion SPECT",
        "NM MYOCARDIAL PERFUSION REST/STRESS",
        "One-day rest/stress protocol, Tc-99m sestamibi; regadenoson stress; gated SPECT.",
        ("Chest pain, intermediate risk.",),
        (
            ReportCase(
                (
                    "Perfusion: Reversible defect of moderate size in the inferior wall.",
                    "Function: LVEF 5{n} %, no wall motion abnormality.",
                ),
                ("Inferior wall ischemia.", "Preserved systolic function."),
            ),
        ),
    ),
    Procedure(
        "NM",
        "NM Thyroid uptake and scan",
        "NM THYROID UPTAKE",
        "Uptake at 4 and 24 h after 200 uCi I-123 by mouth; pinhole images.",
        ("Hyperthyroidism.",),
        (ReportCase(("Uptake: 52 % at 24 h (normal 10-30 %).", "Distribution: Homogeneous."), ("Graves pattern.",)),),
    ),
    Procedure(
        "PET",
        "PET/CT skull base to mid-thigh",
        "PET/CT FDG WHOLE BODY",
        "60 min after 11.2 mCi F-18 FDG, glucose 104 mg/dL; low-dose CT for attenuation correction.",
        ("Lymphoma, interim response.", "Lung mass, staging."),
        (
            ReportCase(
                (
                    "Head and neck: Physiologic.",
                    "Chest: {n} mm {side} hilar node, SUVmax 4.1 (prior 11.7).",
                    "Abdomen and pelvis: No focal uptake above liver.",
                    "Skeleton: Diffuse marrow activity after growth factor.",
                ),
                ("Partial metabolic response (Deauville 4).",),
            ),
            ReportCase(
                (
                    "Chest: {side} lower lobe mass, SUVmax 14.{n}. Subcarinal node, SUVmax 8.2.",
                    "Abdomen: {side} adrenal nodule, SUVmax 6.0.",
                ),
                ("FDG-avid {side} lower lobe malignancy with nodal and adrenal spread.",),
            ),
        ),
    ),
    Procedure(
        "PET",
        "PET/CT Brain FDG",
        "PET BRAIN METABOLIC",
        "Dynamic list mode for 15 min, 45 min after 8 mCi F-18 FDG; eyes closed.",
        ("Memory loss.",),
        (
            ReportCase(
                (
                    "Cortex: Reduced uptake in parietal and posterior temporal cortex, {side} more than opposite.",
                    "Basal ganglia and cerebellum: Normal.",
                ),
                ("Pattern typical of Alzheimer-type neurodegeneration.",),
            ),
        ),
    ),
)
