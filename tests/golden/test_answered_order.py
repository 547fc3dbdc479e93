"""Golden case of a study that answers two orders of a hospital: its message and its resources (D48)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.answered import order
from fakes.oru_example import SITE, profile, sent, study

from mappings.fhir import to_fhir
from mappings.fhir.judge import judge
from mappings.hl7v2.judge import judge_message
from mappings.model import Facts

HERE = Path(__file__).parent / "answered-order"
ORDERS = (order(1), order(2))
# Types of resources that an order changes
CHANGED = ("DiagnosticReport", "Encounter", "ImagingStudy", "Patient", "ServiceRequest")


def made() -> dict[str, str]:
    """Map the example with its two orders to all files of the case."""
    resources = [one for one in to_fhir(study(), SITE, Facts(orders=ORDERS)).output if one["resourceType"] in CHANGED]
    files = {f"fhir/{one['resourceType']}-{one['id']}.json": json.dumps(one, indent=1) + "\n" for one in resources}
    for name in ("report", "order"):
        files[f"oru-obr4-{name}.hl7"] = sent(orders=ORDERS, to=profile(obr4=name)).decode().replace("\r", "\n")
    return files


def test_a_study_with_two_orders_maps_to_exactly_the_files_of_its_case(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        for name, text in made().items():
            (HERE / name).write_text(text, "utf-8")
    held = [path for path in HERE.rglob("*.*") if path.is_file()]
    assert {str(path.relative_to(HERE)): path.read_text("utf-8") for path in held} == made()


def test_a_judge_finds_no_fault_with_it() -> None:
    for resource in to_fhir(study(), SITE, Facts(orders=ORDERS)).output:
        assert judge(resource) == ()
    for name in ("report", "order"):
        assert [str(one) for one in judge_message(sent(orders=ORDERS, to=profile(obr4=name)))] == []
