"""Ultrasound and radiography procedures and texts of their reports, all written for this sandbox.

Carries out no clause of a standard; no text is of a real patient.
"""

from __future__ import annotations

from typing import Final

from gateway.sandbox.cases import Procedure, ReportCase

ULTRASOUND: Final = (
    Procedure(
        "Ultrasound",
        "US Abdomen complete",
        "US ABDOMEN COMPLETE",
        "Real-time grayscale and color Doppler imaging of the abdomen.",
        ("Abnormal liver function tests.", "Epigastric pain."),
        (
            ReportCase(
                (
                    "Liver: 15.2 cm, increased echogenicity, no focal lesion.",
                    "Gallbladder: {n} mm mobile stone, no wall thickening.",
                    "Common duct: 4 mm.",
                    "Kidneys: No hydronephrosis.",
                    "Spleen: Normal.",
                ),
                ("Hepatic steatosis.", "Cholelithiasis without cholecystitis."),
            ),
        ),
    ),
    Procedure(
        "US",
        "US Thyroid",
        "US THYROID",
        "High-frequency linear transducer, transverse and longitudinal planes.",
        ("Palpable neck nodule.",),
        (
            ReportCase(
                (
                    "{side} lobe: {n} mm solid hypoechoic nodule, wider than tall, smooth margin, no echogenic foci.",
                    "Isthmus: 3 mm.",
                    "Nodes: No abnormal cervical node.",
                ),
                ("TI-RADS 4 nodule of the {side} lobe.",),
                recommendation="Fine needle aspiration if 15 mm or larger; else follow-up in 12 months.",
            ),
        ),
    ),
    Procedure(
        "Ultrasound",
        "US Venous Duplex lower extremity",
        "US DUPLEX LE VEINS {side}",
        "Compression, color and spectral Doppler from the groin to the ankle.",
        ("Leg swelling, rule out DVT.",),
        (
            ReportCase(
                (
                    "Common femoral, femoral and popliteal veins: Compressible with normal flow.",
                    "Calf veins: Patent where seen.",
                ),
                ("No deep vein thrombosis of the {side} leg.",),
            ),
            ReportCase(
                (
                    "Femoral and popliteal veins: Non-compressible with intraluminal echoes; absent flow.",
                    "Calf: Posterior tibial veins involved.",
                ),
                ("Acute occlusive deep vein thrombosis, {side} femoropopliteal.",),
                critical=True,
            ),
        ),
    ),
    Procedure(
        "US",
        "US Pelvis transvaginal",
        "US PELVIS TRANSVAGINAL",
        "Transabdominal and transvaginal imaging with color Doppler.",
        ("Pelvic pain.", "Abnormal uterine bleeding."),
        (
            ReportCase(
                (
                    "Uterus: Anteverted, endometrium 7 mm.",
                    "{side} ovary: Simple cyst of {n} mm with thin wall.",
                    "Other ovary: Normal with flow.",
                    "Free fluid: Trace.",
                ),
                ("Simple {side} ovarian cyst.",),
            ),
            ReportCase(
                (
                    "{side} ovary: Enlarged to 6.1 cm, peripheral follicles, no arterial or venous flow.",
                    "Free fluid: Moderate.",
                ),
                ("Findings highly suspicious for {side} ovarian torsion.",),
                critical=True,
            ),
        ),
        patient_sex="female",
    ),
    Procedure(
        "US",
        "US Renal",
        "US KIDNEYS AND BLADDER",
        "Grayscale and color Doppler of both kidneys and the bladder.",
        ("Rising creatinine.",),
        (
            ReportCase(
                (
                    "Right kidney: 10.4 cm. Left kidney: 10.9 cm. Cortical thickness kept.",
                    "No hydronephrosis or calculus.",
                    "Bladder: Post-void residual {n} mL.",
                ),
                ("Normal renal ultrasound.",),
            ),
        ),
    ),
)

RADIOGRAPHY: Final = (
    Procedure(
        "X-Ray",
        "Chest X-ray 2 views",
        "XR CHEST PA AND LATERAL",
        "PA and lateral views of the chest.",
        ("Cough.", "Preoperative.", "Fever & productive cough."),
        (
            ReportCase(
                (
                    "Lungs: Clear. No focal consolidation, effusion or pneumothorax.",
                    "Heart: Normal size.",
                    "Bones: Unremarkable.",
                ),
                ("No acute cardiopulmonary process.",),
            ),
            ReportCase(
                (
                    "Lungs: Airspace opacity in the {side} lower lobe.",
                    "Pleura: Small {side} effusion.",
                    "Heart: Normal size.",
                ),
                ("{side} lower lobe pneumonia with a small parapneumonic effusion.",),
                recommendation="Radiograph in 6 weeks to document resolution.",
            ),
        ),
    ),
    Procedure(
        "XR",
        "Portable chest radiograph",
        "XR CHEST 1 VIEW PORTABLE",
        "Single AP portable view.",
        ("Line placement.", "Intubated, ICU."),
        (
            ReportCase(
                (
                    "Lines: {side} internal jugular catheter ends at the cavoatrial junction.",
                    "Lungs: Low volumes, no pneumothorax.",
                ),
                ("Catheter in good position, no pneumothorax.",),
            ),
            ReportCase(
                (
                    "Lungs: Large {side} pneumothorax with collapse; mediastinum shifted to the opposite side.",
                    "Lines: {side} subclavian catheter.",
                ),
                ("Large {side} tension pneumothorax.",),
                critical=True,
            ),
        ),
    ),
    Procedure(
        "X-Ray",
        "X-ray Wrist 3 views",
        "XR WRIST 3 VIEWS {side}",
        "PA, oblique and lateral views.",
        ("Fall on outstretched hand.",),
        (
            ReportCase(
                (
                    "Bones: Transverse fracture of the distal radius, dorsally angulated by {n} degrees.",
                    "Joints: Congruent.",
                    "Soft tissues: Swollen.",
                ),
                ("Dorsally angulated {side} distal radius fracture.",),
            ),
        ),
    ),
    Procedure(
        "XR",
        "X-ray Lumbar Spine",
        "XR L-SPINE 2-3 VIEWS",
        "AP, lateral and spot lateral views.",
        ("Back pain for 6 weeks.",),
        (
            ReportCase(
                (
                    "Alignment: Grade I anterolisthesis of L4 on L5.",
                    "Vertebrae: Heights kept.",
                    "Discs: Narrowed at L5-S1.",
                ),
                ("Degenerative anterolisthesis L4-L5.",),
            ),
        ),
    ),
    Procedure(
        "X-Ray",
        "X-ray Hip unilateral",
        "XR HIP {side} 2 VIEWS",
        "AP pelvis and frog-leg lateral.",
        ("Fall, unable to bear weight.",),
        (
            ReportCase(
                (
                    "Bones: Displaced subcapital fracture of the {side} femoral neck.",
                    "Pelvis: Ring intact.",
                    "Joint: No dislocation.",
                ),
                ("Displaced {side} femoral neck fracture.",),
                critical=True,
            ),
            ReportCase(
                ("Bones: No fracture.", "Joints: Moderate osteoarthritis, {side} more than opposite."),
                ("No fracture.",),
            ),
        ),
    ),
    Procedure(
        "X-Ray",
        "Abdomen X-ray (KUB)",
        "XR ABDOMEN 1 VIEW",
        "Supine view.",
        ("Constipation.", "Nasogastric tube placement."),
        (
            ReportCase(
                (
                    "Bowel gas: Non-obstructive.",
                    "Stool: Moderate burden.",
                    "Calcifications: {n} mm over the {side} renal shadow.",
                ),
                ("Non-obstructive bowel gas pattern.", "Possible {side} renal calculus."),
            ),
        ),
    ),
)
