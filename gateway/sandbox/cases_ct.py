"""CT procedures and texts of their reports, all written for this sandbox.

Carries out no clause of a standard; no text is of a real patient.
"""

from __future__ import annotations

from typing import Final

from gateway.sandbox.cases import Procedure, ReportCase

CT: Final = (
    Procedure(
        "CT",
        "CT Head without contrast",
        "CT HEAD WO CONTRAST",
        "Axial images from the skull base to the vertex without intravenous contrast. Sagittal and coronal reformats.",
        ("Headache after a fall.", "Acute confusion, rule out hemorrhage.", "Dizziness; on anticoagulation."),
        (
            ReportCase(
                (
                    "Brain: No acute hemorrhage, mass effect or shift. Gray-white differentiation is preserved.",
                    "Ventricles: Normal in size and configuration for age.",
                    "Bones: No calvarial fracture. Mastoid air cells and paranasal sinuses are clear.",
                ),
                ("No acute intracranial abnormality.",),
            ),
            ReportCase(
                (
                    "Brain: Hyperdense extra-axial collection along the {side} convexity, {n} mm thick, with "
                    "adjacent sulcal effacement. Midline shift of 4 mm.",
                    "Ventricles: Partial effacement of the {side} lateral ventricle.",
                    "Bones: No depressed fracture.",
                ),
                (
                    "Acute {side} subdural hematoma, {n} mm, with 4 mm midline shift.",
                    "Neurosurgical consultation is advised.",
                ),
                critical=True,
            ),
        ),
    ),
    Procedure(
        "CT",
        "CT Chest with contrast",
        "CT Chest W Contrast",
        "Helical acquisition through the chest after 80 mL of iodinated contrast. 1.25 mm and 5 mm reconstructions.",
        ("Weight loss and cough.", "Follow-up of a pulmonary nodule.", "Abnormal chest radiograph."),
        (
            ReportCase(
                (
                    "Lungs: Solid {n} mm nodule in the {side} upper lobe (4/87), unchanged. No consolidation.",
                    "Pleura: No effusion or pneumothorax.",
                    "Mediastinum: No lymphadenopathy. Heart size is normal. No pericardial effusion.",
                    "Upper abdomen: Unremarkable to the extent imaged.",
                ),
                ("Stable {n} mm {side} upper lobe nodule.", "No thoracic lymphadenopathy."),
                recommendation="Low-dose CT of the chest in 12 months if the patient is at high risk.",
            ),
            ReportCase(
                (
                    "Lungs: Spiculated {n} mm mass in the {side} lower lobe with pleural tagging.",
                    "Mediastinum: Enlarged subcarinal node, 14 mm in short axis.",
                    "Bones: No destructive lesion.",
                ),
                ("Spiculated {side} lower lobe mass suspicious for primary malignancy.", "Subcarinal lymphadenopathy."),
                recommendation="PET/CT and tissue sampling.",
            ),
        ),
    ),
    Procedure(
        "CT",
        "CT Angiography Chest (PE protocol)",
        "CTA CHEST PULMONARY EMBOLISM",
        "CT pulmonary angiography with bolus tracking over the main pulmonary artery; 60 mL contrast at 5 mL/s.",
        ("Acute dyspnea, elevated D-dimer.", "Pleuritic chest pain & tachycardia."),
        (
            ReportCase(
                (
                    "Pulmonary arteries: Well opacified. No filling defect to the subsegmental level.",
                    "Heart: RV/LV ratio < 1. No right heart strain.",
                    "Lungs: Dependent atelectasis. No infarct.",
                ),
                ("No pulmonary embolism.",),
            ),
            ReportCase(
                (
                    "Pulmonary arteries: Filling defects in the {side} main and lobar pulmonary arteries.",
                    "Heart: RV/LV ratio > 1 with flattening of the septum.",
                    "Lungs: Wedge-shaped peripheral opacity in the {side} lower lobe, {n} mm.",
                ),
                (
                    "Acute {side} pulmonary embolism with signs of right heart strain.",
                    "Small {side} lower lobe infarct.",
                ),
                critical=True,
            ),
        ),
    ),
    Procedure(
        "CT",
        "CT Abdomen and Pelvis with contrast",
        "CT ABD/PELVIS W IV CONTRAST",
        "Portal venous phase from the lung bases to the symphysis. Oral contrast was not given.",
        ("Right lower quadrant pain.", "Abdominal pain and fever.", "Known malignancy, restaging."),
        (
            ReportCase(
                (
                    "Liver: Homogeneous, no focal lesion.",
                    "Gallbladder: No stones or wall thickening.",
                    "Kidneys: Symmetric enhancement. {n} mm simple cyst in the {side} kidney.",
                    "Bowel: Normal caliber. The appendix is normal.",
                    "Pelvis: No free fluid.",
                ),
                ("No acute abnormality of the abdomen or pelvis.", "Simple {side} renal cyst, no follow-up needed."),
            ),
            ReportCase(
                (
                    "Bowel: Appendix dilated to {n} mm with mural enhancement and fat stranding. Appendicolith.",
                    "Peritoneum: Small volume of free fluid in the pelvis. No free air.",
                    "Liver, spleen, pancreas and adrenals: Unremarkable.",
                ),
                ("Acute uncomplicated appendicitis.",),
                critical=True,
            ),
        ),
    ),
    Procedure(
        "CT",
        "CT Abdomen and Pelvis without contrast (stone protocol)",
        "CT RENAL STONE",
        "Low-dose unenhanced acquisition in prone position.",
        ("{side} flank pain, hematuria.",),
        (
            ReportCase(
                (
                    "Kidneys: {n} mm calculus at the {side} ureterovesical junction with mild hydroureteronephrosis.",
                    "Bladder: Decompressed.",
                    "Other: Scattered colonic diverticula without diverticulitis.",
                ),
                ("Obstructing {n} mm {side} distal ureteral calculus.",),
            ),
        ),
    ),
    Procedure(
        "CT",
        "CT Cervical Spine without contrast",
        "CT C-Spine",
        "Thin-section axial images C1 to T2 with sagittal and coronal reformats in bone and soft tissue kernels.",
        ("Motor vehicle collision, neck pain.",),
        (
            ReportCase(
                (
                    "Alignment: Preserved. No facet subluxation.",
                    "Vertebrae: No acute fracture. Vertebral body heights are kept.",
                    "Degenerative change: Mild at {level}.",
                    "Soft tissues: No prevertebral swelling.",
                ),
                ("No acute fracture or traumatic malalignment of the cervical spine.",),
            ),
        ),
    ),
    Procedure(
        "CT",
        "Low-dose CT Lung Cancer Screening",
        "CT LUNG SCREENING LOW DOSE",
        "Low-dose helical acquisition without contrast, CTDIvol 1.8 mGy.",
        ("Screening, 32 pack-years, asymptomatic.",),
        (
            ReportCase(
                (
                    "Nodules: {n} mm part-solid nodule in the {side} upper lobe, solid component 3 mm.",
                    "Emphysema: Mild, centrilobular.",
                    "Coronary calcification: Moderate.",
                ),
                ("Lung-RADS 3: probably benign.", "Moderate coronary artery calcification (category S)."),
                recommendation="Low-dose CT in 6 months.",
            ),
        ),
    ),
    Procedure(
        "CT",
        "CT Angiography Head and Neck",
        "CTA HEAD NECK W CONTRAST",
        "Arterial phase from the aortic arch to the vertex with MIP and volume-rendered reconstructions.",
        ("Acute {side}-sided weakness, last known well 2 h ago.",),
        (
            ReportCase(
                (
                    "Intracranial: Abrupt cutoff of the {side} M1 segment. Poor collaterals.",
                    "Neck: {side} internal carotid artery 50-69 % stenosis (NASCET).",
                    "Perfusion: Not performed.",
                ),
                (
                    "Large vessel occlusion of the {side} middle cerebral artery (M1).",
                    "Moderate {side} carotid stenosis.",
                ),
                critical=True,
            ),
            ReportCase(
                (
                    "Intracranial: No occlusion, aneurysm or high-grade stenosis.",
                    "Neck: Patent vessels; no dissection.",
                ),
                ("No large vessel occlusion.",),
            ),
        ),
    ),
)
