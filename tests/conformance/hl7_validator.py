"""HL7's own FHIR validator, as HAPI packages it, started once for all resources it is given.

https://hl7.org/fhir/R4/validation.html; validator/ValidateLines.java says what an error is and what a warning.
Extensions that neither R4, US Core nor our own package defines are errors. Ours are judged by the package's snapshots.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from conformance.outside import java, run
from conformance.whole_package import snapshots

from gateway.fhir_api.definitions.ig_package import ig_package
from mappings.codes import CANONICAL

PACKAGES = ("us_core_610", "us_core_800")


@dataclass(frozen=True, slots=True)
class Finding:
    """An error or warning of one resource, held against R4 and the profiles of a package."""

    package: str
    is_error: bool
    id: str
    location: str
    message: str


def findings(resources: Iterable[str], shared: Path) -> dict[str, tuple[Finding, ...]]:
    """Return the validator's findings for each resource, keyed by text; equal texts are validated once."""
    texts = list(dict.fromkeys(resources))
    packages = [str(shared / "conformance" / f"{name}.tgz") for name in PACKAGES]
    with TemporaryDirectory() as folder:
        own = Path(folder) / "own.tgz"
        own.write_bytes(ig_package(CANONICAL, "0.0.0", snapshots(CANONICAL)))
        command = java("validator", "ValidateLines.java", str(own), *packages, under=Path(__file__).parent)
        answers = run(command, texts)
    return {text: tuple(_finding(row) for row in rows) for text, rows in zip(texts, answers, strict=True)}


def _finding(row: dict[str, str]) -> Finding:
    is_error = row["severity"] in ("error", "fatal")
    return Finding(Path(row["package"]).stem, is_error, row["id"] or "", row["location"] or "", row["message"])
