"""What the facade answers against R4 4.0.1 and US Core by a validator that is not ours.

https://hl7.org/fhir/R4/validation.html. Needs the validator in ../shared/conformance, and Node.js.
"""

import asyncio
import json
import subprocess

import pytest
from fakes.facade import facade, resource_id

from mappings.identifiers import fhir_id

INCLUDES = "".join(
    f"&_include=DiagnosticReport:{name}"
    for name in ("subject", "performer", "results-interpreter", "result", "imagingStudy")
)


async def answers(stage):
    """Bundles of every study that has a report, and one of each other kind of answer."""
    for study_id in dict.fromkeys(report["studyId"] for report in stage.reports()):
        yield await stage.get(f"DiagnosticReport?study={fhir_id(study_id)}{INCLUDES}&colour=blue")
    report_id = resource_id(stage.signed())
    yield await stage.get("metadata")
    yield await stage.get("DiagnosticReport?study=stu-" + "0" * 32)
    yield await stage.get("Patient/unknown")
    yield await stage.get(f"Binary/{report_id}-text", headers={"Accept": "application/fhir+json"})
    yield await stage.post(f"DiagnosticReport/{report_id}/$addendum")
    yield await stage.post(f"DiagnosticReport/{report_id}/$cancel-addendum", key="k2")


async def bodies():
    async with facade() as stage:
        return [json.dumps(one.json()) async for one in answers(stage)]


@pytest.mark.timeout(300)
def test_every_answer_of_the_facade_is_valid_r4(validator, tmp_path):
    lines = asyncio.run(bodies())
    (tmp_path / "answers.ndjson").write_text("\n".join(lines) + "\n")
    for us_core in ("610", "800"):
        found = subprocess.run(
            ["bash", validator, "--uscore", us_core, tmp_path / "answers.ndjson"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    assert len(lines) > 100
