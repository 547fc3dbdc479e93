"""Our HL7 v2 through a third-party converter gives our FHIR, or differs as conformance/accepted.py says.

https://build.fhir.org/ig/HL7/v2-to-fhir/. The converters are hl7v2-fhir-bridge (PyPI) and LinuxForHealth's
hl7v2-fhir-converter, for which a JDK with Maven is needed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from conformance.accepted import ACCEPTED, Pair
from conformance.agreement import ELEMENTS, Json, view
from conformance.converters import CONVERTERS
from conformance.corpus import SEEDED, cases

from mappings.codes import SID_FILLER_ORDER
from mappings.profile import receiver

pytestmark = pytest.mark.timeout(600)

RECEIVER = replace(receiver("fhir-converter"), send_drafts="on")
UNSAID = ("registered", "cancelled", "unknown")


@cache
def pairs(converter: str) -> list[Pair]:
    """Our FHIR and a converter's, of every message of every case."""
    told = [(case, message) for case in cases() for message in case.messages(RECEIVER)]
    bundles = CONVERTERS[converter]([message for _, message in told])
    return [_pair(case, converter, message, bundle) for (case, message), bundle in zip(told, bundles, strict=True)]


def _pair(case, converter: str, message: str, bundle: Json) -> Pair:
    resources = case.resources()
    obr = next(line for line in message.split("\r") if line.startswith("OBR|")).split("|")
    reports = [one for one in resources if one["resourceType"] == "DiagnosticReport"]
    restated = tuple(one for one in reports if _is_of(one, obr[3].partition("^")[0], is_draft=obr[25] == "P"))
    lead = next((one for one in reversed(restated) if not _is_addendum(one)), restated[-1])
    theirs = [(entry.get("fullUrl", ""), entry["resource"]) for entry in bundle["entry"]]
    (report,) = [one for _, one in theirs if one["resourceType"] == "DiagnosticReport"]
    ours = view(lead, [("", one) for one in resources])
    study = case.change().study if case.before else case.study()
    return Pair(case.name, converter, message, study, ours, view(report, theirs), restated)


def _is_of(report: Json, filler: str, *, is_draft: bool) -> bool:
    """True for a report of that filler order number that is said, signed or not as the message is."""
    numbers = [one["value"] for one in report["identifier"] if one.get("system") == SID_FILLER_ORDER]
    return filler in numbers and report["status"] not in UNSAID and (report["status"] == "preliminary") == is_draft


def _is_addendum(report: Json) -> bool:
    return any(one["url"].endswith("/isAddendum") and one["valueBoolean"] for one in report["extension"])


def differences(converter: str) -> Iterator[tuple[Pair, str, int | None]]:
    """Each element that differs, with the row of ACCEPTED that says so, or None."""
    for pair in pairs(converter):
        for element in ELEMENTS:
            ours, theirs = pair.values(element)
            if ours != theirs:
                rows = (number for number, row in enumerate(ACCEPTED) if _accepts(row, pair, element, ours, theirs))
                yield pair, element, next(rows, None)


def _accepts(row, pair: Pair, element: str, ours: object, theirs: object) -> bool:
    return row.element == element and pair.converter in row.converters and row.holds(pair, ours, theirs)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("converter", CONVERTERS)
def test_an_element_is_what_a_converter_makes_of_our_message(converter: str, element: str) -> None:
    found = [
        (pair.case, *pair.values(element))
        for pair, name, row in differences(converter)
        if name == element and row is None
    ]
    assert found == []


@pytest.mark.parametrize("converter", CONVERTERS)
def test_every_accepted_difference_occurs(converter: str) -> None:
    """An unused row is stale, and could hide a fault."""
    needed = {row for _, _, row in differences(converter)}
    stale = [
        f"{row.element}: {row.reason}"
        for number, row in enumerate(ACCEPTED)
        if converter in row.converters and number not in needed
    ]
    assert stale == []


def test_every_element_that_is_compared_has_a_value_somewhere() -> None:
    """Two ways that both say nothing would agree on nothing."""
    said = {element for pair in pairs("bridge") for element in ELEMENTS if pair.values(element)[0]}
    assert said == set(ELEMENTS)


@pytest.mark.parametrize("converter", CONVERTERS)
def test_there_are_studies_enough(converter: str) -> None:
    names = {pair.case for pair in pairs(converter)}
    assert len([name for name in names if name.startswith("seed/")]) >= SEEDED * 3 // 4
    assert len([name for name in names if name.startswith("golden/")]) >= 25


def test_a_difference_that_is_not_accepted_is_noticed() -> None:
    """Each element, with a value that no message of ours says."""
    pair = pairs("bridge")[0]
    for element in ELEMENTS:
        ours, _ = pair.values(element)
        wrong = [*ours, "planted"] if isinstance(ours, list) else "planted"
        assert not any(_accepts(row, pair, element, ours, wrong) for row in ACCEPTED), element


@pytest.mark.parametrize("converter", CONVERTERS)
def test_the_agreement_is_printed(converter: str, capsys: pytest.CaptureFixture[str]) -> None:
    counted = Counter(row for _, _, row in differences(converter))
    studies = len({pair.case for pair in pairs(converter)})
    total = len(pairs(converter)) * len(ELEMENTS)
    head = f"{converter}: {studies} studies, {len(pairs(converter))} messages, {total} values compared, "
    rows = [f"{head}{total - counted.total()} equal; accepted:"]
    rows += [
        f"{counted[number]:>6}  {row.element}: {row.reason}" for number, row in enumerate(ACCEPTED) if counted[number]
    ]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(rows) + "\n")
    assert counted[None] == 0
