"""Table of odd values (missing, impossible, awkward) to put into synthetic studies, as real data have.

Carries out no clause of a standard; each row is a value that AutoScribe's contract allows, or cannot exclude.
Proved by tests/gateway/sandbox/test_seed.py.
"""

from __future__ import annotations

from typing import Any, Final, Literal

Json = dict[str, Any]
Target = Literal["snapshot", "study", "report"]

DROPPED: Final = object()
_TORTURE: Final = (
    "FINDINGS: a|b^c~d\\e&f \\.br\\ \\F\\ \\X0D\\ <b>&amp;</b>\nIMPRESSION: 5 mm \u2265 4 mm, 37 \u00b0C, 12 \u00b5g."
)
_LINES: Final = (
    "FINDINGS:\r\rone\rtwo\x0cthree\x0bfour\tfive\x1csix\u2028seven\x85eight\nIMPRESSION:\r\nMixed line ends."
)
_SCRIPTS: Final = "FINDINGS: \u80ba\u91ce\u6e05\u6670 \u05dc\u05dc\u05d0 \U0001fac1\nIMPRESSION: \u6b63\u5e38\u3002"
_LONG: Final = (
    "FINDINGS:\n" + "\n".join(f"Image {number}: no abnormality." for number in range(1, 401)) + "\nIMPRESSION: Normal."
)

# name -> (target, changed values); DROPPED removes the key
ODDITIES: Final[dict[str, tuple[Target, Json]]] = {
    "no-mrn": ("snapshot", {"mrn": DROPPED}),
    "caret-name": ("snapshot", {"patientName": "DOE^JANE"}),
    "comma-name": ("snapshot", {"patientName": "Doe, Jane"}),
    "diacritics": ("snapshot", {"patientName": "Zo\u00eb \u0141ukasz-M\u00fcstermann"}),
    "cjk-name": ("snapshot", {"patientName": "\u6e2c\u8a66 \u6a23\u672c"}),
    "impossible-birth-date": ("snapshot", {"dateOfBirth": "7321-69-10"}),
    "impossible-study-date": ("snapshot", {"studyDate": "2026-02-30"}),
    "height-zero": ("snapshot", {"height": {"unit": "cm", "value": 0}}),
    "height-inches": ("snapshot", {"height": {"unit": "in", "value": 65.5}}),
    "weight-lbs": ("snapshot", {"weight": {"unit": "lbs", "value": 154}}),
    "weight-impossible": ("snapshot", {"weight": {"unit": "kg", "value": 1500}}),
    "empty-snapshot": (
        "snapshot",
        dict.fromkeys(
            (
                "age", "dateOfBirth", "facilityName", "height", "mrn", "patientName", "procedure",
                "referringPhysicianName", "sex", "studyDate", "studyTime", "weight",
            ),
            DROPPED,
        ),
    ),
    "placeholder-mrn": ("snapshot", {"mrn": "00000000"}),
    "unknown-mrn": ("snapshot", {"mrn": "UNKNOWN"}),
    "mrn-leading-zeros": ("snapshot", {"mrn": " 000-12-07 "}),
    "mrn-with-delimiters": ("snapshot", {"mrn": "A|7^B&8"}),
    "long-caret-name": ("snapshot", {"patientName": "DOE^JOHN^QUENTIN^JR^DR"}),
    "particle-name": ("snapshot", {"patientName": "Ludwig van der Testen III"}),
    "single-name": ("snapshot", {"patientName": "Testonly"}),
    "empty-name": ("snapshot", {"patientName": ""}),
    "no-name": ("snapshot", {"patientName": DROPPED}),
    "no-birth-date": ("snapshot", {"dateOfBirth": DROPPED}),
    "no-study-date": ("snapshot", {"studyDate": DROPPED, "studyTime": DROPPED}),
    "no-study-time": ("snapshot", {"studyTime": DROPPED}),
    "hour-that-never-was": ("snapshot", {"studyDate": "2026-03-08", "studyTime": "02:30"}),
    "no-facility": ("snapshot", {"facilityName": DROPPED}),
    "unknown-facility": ("snapshot", {"facilityName": "Sandbox Mobile Unit 7"}),
    "sex-other": ("snapshot", {"sex": "other"}),
    "no-sex": ("snapshot", {"sex": DROPPED}),
    "age-in-months": ("snapshot", {"age": "2 months", "dateOfBirth": "2025-12-02"}),
    "referrer-with-delimiters": ("snapshot", {"referringPhysicianName": "Dr. A & B | Ortho^Clinic"}),
    "no-procedure": ("snapshot", {"procedure": DROPPED}),
    "stat": ("study", {"severity": "stat"}),
    "high": ("study", {"severity": "high"}),
    "no-modality": ("study", {"modality": None}),
    "free-modality": ("study", {"modality": "Fluoro / C-Arm"}),
    "no-text": ("report", {"reportPlainText": DROPPED}),
    "empty-text": ("report", {"reportPlainText": ""}),
    "delimiters-in-text": ("report", {"reportPlainText": _TORTURE}),
    "line-ends-in-text": ("report", {"reportPlainText": _LINES}),
    "scripts-in-text": ("report", {"reportPlainText": _SCRIPTS}),
    "long-text": ("report", {"reportPlainText": _LONG}),
    "no-signed-at": ("report", {"signedAt": None}),
    "critical-not-said": ("report", {"isCritical": None}),
    "time-with-fraction": ("report", {"signedAt": "2026-01-05T16:30:00.123456Z"}),
    "time-with-offset": ("report", {"signedAt": "2026-01-05T11:30:00-05:00"}),
}  # fmt: skip


def applied(name: str | None, target: Target, values: Json) -> Json:
    """Apply the oddity to the values, if it concerns this target."""
    if name is None or ODDITIES[name][0] != target:
        return values
    return {key: value for key, value in {**values, **ODDITIES[name][1]}.items() if value is not DROPPED}
