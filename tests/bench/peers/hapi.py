"""HAPI FHIR JPA beside the gateway: built by Maven, run on the same PostgreSQL server, filled with the same resources.

https://hapifhir.io/hapi-fhir/docs/server_jpa/introduction.html. `pom.xml` names its version.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

HERE = Path(__file__).parent
TOGETHER = 200  # resources in one transaction
_MEMORY = "-Xmx2g"
# A resource is put after what it refers to: HAPI follows a reference only if its target was there first
ORDER = (
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Patient",
    "ServiceRequest",
    "ImagingStudy",
    "Observation",
    "DiagnosticReport",
    "DocumentReference",
    "Provenance",
)


class Hapi(NamedTuple):
    """A running server: the base of its FHIR API, and its process."""

    base: str
    process_id: int


@contextmanager
def hapi(url: str, folder: Path) -> Iterator[Hapi]:
    """Run HAPI on an empty PostgreSQL database while the block runs; its log is in the folder."""
    classes = _built(folder)
    place = urlsplit(url)
    jdbc = f"jdbc:postgresql://{place.hostname}:{place.port}{place.path}?user={place.username}"
    command = ["java", _MEMORY, "-cp", classes, "Hapi", jdbc]
    with (folder / "hapi.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    with process:
        try:
            base = process.stdout.readline().strip() if process.stdout else ""
            if not base:
                raise RuntimeError(f"HAPI did not start: {(folder / 'hapi.log').read_text()[-2_000:]}")
            yield Hapi(base, process.pid)
        finally:
            process.kill()


def put(base: str, bodies: Sequence[bytes]) -> None:
    """Put resources under their own ids, in transactions.

    Raises:
        RuntimeError: HAPI refuses one.
    """
    url = urlsplit(base)
    connection = HTTPConnection(url.hostname or "", url.port, timeout=600)
    for first in range(0, len(bodies), TOGETHER):
        entries = [_entry(one) for one in bodies[first : first + TOGETHER]]
        text = b'{"resourceType":"Bundle","type":"transaction","entry":[' + b",".join(entries) + b"]}"
        connection.request("POST", url.path, text, {"Content-Type": "application/fhir+json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"HAPI refuses resources with {answer.status}: {said[:1_000]!r}")
    connection.close()


def _entry(body: bytes) -> bytes:
    resource = json.loads(body)
    address = f"{resource['resourceType']}/{resource['id']}"
    return b'{"resource":' + body + b',"request":' + json.dumps({"method": "PUT", "url": address}).encode() + b"}"


def _built(folder: Path) -> str:
    """Compile the server and fetch what it needs; return its class path."""
    paths, classes = folder / "classpath", folder / "classes"
    fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:build-classpath"]
    subprocess.run([*fetch, f"-Dmdep.outputFile={paths}"], check=True)
    needed = paths.read_text().strip()
    compile_it = ["javac", "-proc:none", "-cp", needed, "-d", str(classes), str(HERE / "Hapi.java")]
    subprocess.run(compile_it, check=True)
    return f"{classes}:{needed}"
