"""Answers of the facade, validated against R4 4.0.1 and US Core by an independent validator.

https://hl7.org/fhir/R4/validation.html. Needs the validator in ../shared/conformance, and Node.js.
"""

import asyncio
import subprocess

import pytest
from conformance.facade_answers import bodies


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
