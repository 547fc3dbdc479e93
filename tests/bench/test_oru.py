"""Speed of composing one ORU^R01 of 60 OBX, as ratios in one run (design §5); `make bench` prints them last."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bench.margins import at_most
from fakes import er7_reader
from fakes.oru_example import REPORT_ID, SITE, report, study

from mappings import to_oru
from mappings.model import Cause, Facts
from mappings.profile import receiver

FINDINGS = "\n".join(
    f"Line {number}: the lungs are clear | no effusion & no mass; the ratio of the ventricles is ~ 0.{number}."
    for number in range(49)
)
TEXT = f"""EXAM: CT CHEST WITH CONTRAST

CLINICAL INDICATION: Shortness of breath & pleuritic pain; R/O PE.

FINDINGS:
{FINDINGS}

IMPRESSION:
1. Acute segmental pulmonary embolism, right lower lobe.
2. No right heart strain.
3. No other finding.
4. Follow-up as needed."""
STUDY = study(report(reportPlainText=TEXT))
CAUSE, GENERIC, FACTS = Cause(REPORT_ID), receiver("generic"), Facts(accession_number="ACC0098127")
AT = datetime(2026, 1, 5, 16, 30, 14, tzinfo=UTC)


def ours() -> bytes:
    output = to_oru(STUDY, CAUSE, SITE, GENERIC, FACTS, control_id="Js8H5Znu6q8Ibanjv4jC", at=AT).output
    assert output is not None
    return output


MESSAGE = ours()
SEGMENTS = er7_reader.segments(MESSAGE)
HEADER = MESSAGE[: MESSAGE.index(b"OBX|")].decode()


def f_strings() -> bytes:
    """Baseline: escape and split the text, and write one f-string for each line."""
    text = TEXT.replace("\\", "\\E\\").replace("|", "\\F\\").replace("^", "\\S\\").replace("~", "\\R\\")
    code, after = "18748-4^Diagnostic imaging study^LN", f"F|||{SEGMENTS[-2][14]}||{SEGMENTS[-2][16]}"
    rows = [
        f"OBX|{number}|TX|{code}|1|{line or ' '}||||||{after}\r"
        for number, line in enumerate(text.replace("&", "\\T\\").split("\n"), 1)
    ]
    return "".join([HEADER, *rows, "ZDS|1.2.3^AUTOSCRIBE^Application^DICOM\r"]).encode()


def seconds(make: Callable[[], object], number: int) -> float:
    start = time.perf_counter()
    for _ in range(number):
        make()
    return (time.perf_counter() - start) / number


def test_one_message_against_f_strings(say: Callable[[str], None]) -> None:
    assert len(er7_reader.all_of(MESSAGE, "OBX")) == 60
    assert f_strings().count(b"OBX|") == 60
    rounds = [(seconds(ours, 200), seconds(f_strings, 500)) for _ in range(15)]
    to_f_strings = statistics.median(mine / floor for mine, floor in rounds)
    say(
        f"ORU^R01 of 60 OBX: {statistics.median(mine for mine, _ in rounds) * 1e6:.0f} us, {to_f_strings:.1f} x one"
        f" f-string for each line {at_most(to_f_strings, 8, unit=' x')}"
    )
