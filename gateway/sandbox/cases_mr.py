"""MR procedures and texts of their reports, all written for this sandbox.

Carries out no clause of a standard; no text is of a real patient.
"""

from __future__ import annotations

from typing import Final

from gateway.sandbox.cases import Procedure, ReportCase

MR: Final = (
    Procedure(
        "MRI",
        "Brain MRI with Contrast",
        "MRI Brain with Contrast",
        "Multiplanar multisequence MRI of the brain before and after 7 mL of gadolinium contrast at 3 T.",
        ("Persistent headaches, rule out intracranial mass.", "New seizure.", "Multiple sclerosis, follow-up."),
        (
            ReportCase(
                (
                    "Parenchyma: Normal signal. No restricted diffusion. No abnormal enhancement.",
                    "Ventricles and extra-axial spaces: Normal.",
                    "Vessels: Major flow voids are preserved.",
                ),
                ("Unremarkable brain MRI.",),
            ),
            ReportCase(
                (
                    "Parenchyma: {n} T2/FLAIR hyperintense lesions, periventricular and juxtacortical; one enhances.",
                    "Corpus callosum: Two lesions at the callososeptal interface.",
                    "Posterior fossa: No lesion.",
                ),
                ("Demyelinating disease with one active lesion.", "Lesion load slightly increased."),
                recommendation="Follow-up MRI in 6 months.",
            ),
        ),
    ),
    Procedure(
        "MRI",
        "MRI Lumbar Spine without contrast",
        "MR L-SPINE WO",
        "Sagittal T1, T2 and STIR; axial T2 from L1 to S1.",
        ("Low back pain radiating to the {side} leg.", "Neurogenic claudication."),
        (
            ReportCase(
                (
                    "L3-L4: Mild disc bulge, no stenosis.",
                    "L4-L5: {side} paracentral protrusion of {n} mm contacting the traversing L5 root.",
                    "L5-S1: Facet arthropathy.",
                    "Conus: Ends at L1, normal signal.",
                ),
                ("{side} paracentral disc protrusion at L4-L5 with L5 root contact.",),
            ),
            ReportCase(
                (
                    "Large central extrusion at L4-L5 filling the canal; crowding of all roots of the cauda equina.",
                    "Bladder: Distended.",
                ),
                ("Severe canal stenosis at L4-L5; findings compatible with cauda equina compression.",),
                critical=True,
            ),
        ),
    ),
    Procedure(
        "MRI",
        "MRI Knee without contrast",
        "MRI KNEE {side}",
        "Proton density fat-saturated images in three planes, sagittal T2.",
        ("Twisting injury, locking.", "Chronic medial knee pain."),
        (
            ReportCase(
                (
                    "Menisci: Bucket-handle tear of the medial meniscus with the fragment in the notch.",
                    "Ligaments: Complete tear of the anterior cruciate ligament. PCL, MCL and LCL intact.",
                    "Cartilage: Grade II change of the patella.",
                    "Fluid: Moderate effusion.",
                ),
                ("Complete ACL tear.", "Bucket-handle tear of the medial meniscus."),
            ),
            ReportCase(
                (
                    "Menisci: Intact.",
                    "Ligaments: Intact.",
                    "Cartilage: {n} mm full-thickness defect of the medial femoral condyle.",
                ),
                ("Full-thickness cartilage defect, medial femoral condyle.",),
            ),
        ),
    ),
    Procedure(
        "MRI",
        "MRI Shoulder without contrast",
        "MR Shoulder Left/Right",
        "Oblique coronal and sagittal PD FS, axial T2.",
        ("Shoulder pain, weakness in abduction.",),
        (
            ReportCase(
                (
                    "Rotator cuff: Full-thickness tear of the supraspinatus, {n} mm in AP extent, retracted.",
                    "Biceps: In the groove.",
                    "AC joint: Moderate arthrosis.",
                ),
                ("Full-thickness supraspinatus tear.",),
            ),
        ),
    ),
    Procedure(
        "MR",
        "MRI Prostate multiparametric",
        "MRI PROSTATE W/WO CONTRAST",
        "T2 in three planes, DWI with b = 1400, dynamic contrast enhancement.",
        ("PSA 6.8 ng/mL, prior negative biopsy.",),
        (
            ReportCase(
                (
                    "Volume: 48 mL.",
                    "Peripheral zone: {n} mm focus, {side} mid-gland, markedly hypointense on ADC.",
                    "Capsule: Broad contact, no extension.",
                    "Nodes: None enlarged.",
                ),
                ("PI-RADS 4 lesion in the {side} mid peripheral zone.",),
                recommendation="Targeted biopsy.",
            ),
        ),
        patient_sex="male",
    ),
    Procedure(
        "MRI",
        "MRCP without contrast",
        "MRCP",
        "Heavily T2-weighted 3D and thick-slab acquisitions, axial T2 and T1.",
        ("Elevated bilirubin, right upper quadrant pain.",),
        (
            ReportCase(
                (
                    "Bile ducts: Common duct {n} mm, filling defect of 5 mm in its distal part.",
                    "Gallbladder: Multiple small stones.",
                    "Pancreas: Main duct not dilated.",
                ),
                ("Choledocholithiasis.", "Cholelithiasis."),
            ),
        ),
    ),
    Procedure(
        "MRI",
        "MRI Breast bilateral with contrast",
        "MR BREAST BILAT W/WO",
        "Dynamic T1 with subtraction, T2, DWI; dedicated 16-channel coil, prone.",
        ("High-risk screening.",),
        (
            ReportCase(
                (
                    "Background enhancement: Mild.",
                    "Right breast: No suspicious mass.",
                    "Left breast: {n} mm irregular mass at 2 o'clock with washout kinetics.",
                    "Axillae: Normal nodes.",
                ),
                ("BI-RADS 4: suspicious mass of the left breast.",),
                recommendation="MRI-guided or second-look ultrasound biopsy.",
            ),
        ),
        patient_sex="female",
    ),
    Procedure(
        "MRI",
        "MRI Cervical Spine with and without contrast",
        "MR CERVICAL SPINE W WO",
        "Sagittal T1, T2, STIR, axial T2*; post-contrast T1 in two planes.",
        ("Myelopathy.",),
        (
            ReportCase(
                (
                    "Cord: T2 hyperintense segment at {level} over {n} mm without enhancement.",
                    "Discs: Osteophyte complex at {level} with severe canal stenosis.",
                ),
                ("Spondylotic myelopathy at {level}.",),
            ),
        ),
    ),
)
