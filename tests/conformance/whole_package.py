"""The gateway's FHIR package with a snapshot in each StructureDefinition, made by HL7's generator; `make ig` writes it.

https://hl7.org/fhir/R4/structuredefinition.html#StructureDefinition.snapshot. Without a JDK and Maven, or what Maven
fetches once, the package has none, and who loads it makes them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conformance.outside import java, run

from gateway.fhir_api.definitions.defined import structure_definitions
from gateway.fhir_api.definitions.ig_package import Json, package_file
from gateway.settings.values import canonical_base
from mappings.codes import CANONICAL


def snapshots(canonical: str) -> dict[str, Json]:
    """Return the snapshot of each StructureDefinition, by the name of the extension; skips without a JDK or Maven."""
    defined = structure_definitions(canonical)
    command = java("validator", "MakeSnapshots.java", under=Path(__file__).parent)
    made = map(json.loads, run(command, [json.dumps(one) for one in defined]))
    return {one["id"]: one["snapshot"] for one in made}


def main(folder: str, canonical: str = CANONICAL) -> None:
    """Write the package into a folder and print its path; say on stderr why it has no snapshots, if it has none."""
    base = canonical_base(canonical)
    made: dict[str, Json] = {}
    try:
        made = snapshots(base)
    except pytest.skip.Exception as missing:
        sys.stderr.write(f"The package has no snapshots: make ig {missing}. Who loads the package makes them.\n")
    sys.stdout.write(f"{package_file(Path(folder), base, made)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
