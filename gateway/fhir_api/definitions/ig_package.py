"""Write the gateway's own definitions as a FHIR package; the same definitions give the same bytes.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification, https://hl7.org/fhir/R4/implementationguide.html,
decision D44. Snapshots of the extensions are made by HL7's generator, outside: `make ig` adds them.
Proved by tests/gateway/fhir_api/definitions/test_ig_package.py.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from gateway.fhir_api.definitions.defined import defined
from gateway.settings.values import canonical_base
from mappings.codes import CANONICAL
from mappings.fhir.datatypes import json_bytes

Json = dict[str, Any]
PACKAGE: Final = "autoscribe-gateway.fhir"
_NAME: Final = "autoscribe-gateway"
_R4: Final = "4.0.1"
# Elements of a definition that the index of a package repeats
_INDEXED: Final = ("resourceType", "id", "url", "version", "kind", "type")


def ig_package(canonical: str, release: str, snapshots: Mapping[str, Json] = MappingProxyType({})) -> bytes:
    """Build the package as tgz; `canonical` is the base of the site's own definitions, `release` the version.

    `snapshots` are those of StructureDefinitions, by id.
    """
    resources = [_with_snapshot(one, snapshots) for every in defined(canonical).values() for one in every]
    files: dict[str, Json] = {f"{one['resourceType']}-{one['id']}.json": one for one in resources}
    guide = _guide(canonical, release, resources)
    files[f"ImplementationGuide-{_NAME}.json"] = guide
    index = [
        {"filename": name, **{key: one[key] for key in _INDEXED if key in one}} for name, one in sorted(files.items())
    ]
    files["package.json"] = _manifest(canonical, release)
    files[".index.json"] = {"index-version": 1, "files": index}
    return _archive({f"package/{name}": json_bytes(one) for name, one in files.items()})


def _with_snapshot(resource: Json, snapshots: Mapping[str, Json]) -> Json:
    if resource["resourceType"] != "StructureDefinition" or resource["id"] not in snapshots:
        return resource
    return {**resource, "snapshot": snapshots[resource["id"]]}


def guide_url(canonical: str) -> str:
    """Return the canonical URL of the guide with the gateway's own definitions."""
    return f"{canonical}/ImplementationGuide/{_NAME}"


def _guide(canonical: str, release: str, resources: Sequence[Json]) -> Json:
    return {
        "resourceType": "ImplementationGuide",
        "id": _NAME,
        "url": guide_url(canonical),
        "version": release,
        "name": "AutoscribeGateway",
        "title": _NAME,
        "status": "active",
        "description": "What this gateway defines beside R4 and US Core.",
        "packageId": PACKAGE,
        "license": "Apache-2.0",
        "fhirVersion": [_R4],
        "definition": {
            "resource": [
                {
                    "reference": {"reference": f"{one['resourceType']}/{one['id']}"},
                    "name": one["name"],
                    "description": one["description"],
                    "exampleBoolean": False,
                }
                for one in resources
            ]
        },
    }


def _manifest(canonical: str, release: str) -> Json:
    return {
        "name": PACKAGE,
        "version": release,
        "type": "IG",
        "title": _NAME,
        "description": "What autoscribe-gateway defines beside R4 and US Core.",
        "author": _NAME,
        "license": "Apache-2.0",
        "canonical": canonical,
        "url": canonical,
        "fhirVersions": [_R4],
        "dependencies": {"hl7.fhir.r4.core": _R4},
    }


def _archive(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(made.getvalue(), mtime=0)


def package_file(folder: Path, canonical: str, snapshots: Mapping[str, Json] = MappingProxyType({})) -> Path:
    """Write the package of this release into a folder, and return its path."""
    release = version(_NAME)
    path = folder / f"{PACKAGE}-{release}.tgz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ig_package(canonical, release, snapshots))
    return path


def main(folder: str, canonical: str = CANONICAL) -> None:
    """Write the package of this release without snapshots into a folder, and print its path."""
    sys.stdout.write(f"{package_file(Path(folder), canonical_base(canonical))}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
