"""Every receiver profile's message of every golden case is read by converters that nobody here wrote (D34).

https://build.fhir.org/ig/HL7/v2-to-fhir/. What the converters make of a profile that is not made for them differs in
detail: each must find one patient, one report under our filler order number, and each line of text that it reads.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from conformance.converters import CONVERTERS
from conformance.corpus import Message, messages
from fakes.scale import IS_WHOLE

from mappings.hl7v2.er7 import COMPONENT
from mappings.profile import RECEIVERS

pytestmark = pytest.mark.timeout(600)
# The slow converter reads each third message, unless the run is whole
EACH = {"bridge": 1, "LinuxForHealth": 1 if IS_WHOLE else 3}


@cache
def golden() -> list[Message]:
    return [one for one in messages() if one.receiver in RECEIVERS and one.case.startswith("golden/")]


def field(message: Message, segment: str, number: int) -> str:
    rows = (row.split("|") for row in message.text.split("\r"))
    row = next(row for row in rows if row[0] == segment)
    return row[number] if number < len(row) else ""


@pytest.mark.parametrize("converter", CONVERTERS)
def test_each_message_is_one_report_about_one_patient_under_our_number(converter: str) -> None:
    numbered = [one for one in golden() if field(one, "PID", 3)][:: EACH[converter]]
    bundles = CONVERTERS[converter]([one.text for one in numbered])
    for message, bundle in zip(numbered, bundles, strict=True):
        found = [entry["resource"] for entry in bundle["entry"]]
        kinds = [one["resourceType"] for one in found]
        assert kinds.count("Patient") == 1, (message.case, message.receiver)
        reports: list[dict[str, Any]] = [one for one in found if one["resourceType"] == "DiagnosticReport"]
        number = field(message, "OBR", 3).partition(COMPONENT)[0]
        numbers = {each["value"] for one in reports for each in one.get("identifier", ())}
        assert number in numbers, (message.case, message.receiver)


def test_only_a_profile_that_numbers_the_patient_in_pid_2_leaves_pid_3_empty() -> None:
    without = {one.receiver for one in golden() if not field(one, "PID", 3)}
    assert without <= {"vista-2.4"}
    assert all(field(one, "PID", 2) for one in golden() if not field(one, "PID", 3))


def test_there_are_messages_of_every_profile() -> None:
    assert {one.receiver for one in golden()} == set(RECEIVERS)
