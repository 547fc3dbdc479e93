"""Gateways that need a login, built in or at an external issuer, each with one registered client.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html
"""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from clients.account import STUDIES
from clients.bulk_client import BulkClient
from clients.issuer_process import APP, ExternalIssuer, external_issuer
from clients.processes import COMMAND, Running, await_pdfs, running
from fakes.assertions import jwks
from fakes.gateway_process import environment, site_file
from fakes.ports import free_port

KEY = "RS384 client"
SCOPE = "system/*.rs"
AUDIENCE = "https://gateway.example/fhir"
_APP = "city-ehr"


@dataclass(frozen=True, slots=True)
class Login:
    """A gateway, a client that is registered with it, and the issuer if there is one."""

    gateway: Running
    client_id: str
    env: Mapping[str, str]
    issuer: ExternalIssuer | None = None

    @property
    def authority(self) -> str | None:
        """The file of authorities that a client must trust beside those of the system."""
        return str(self.issuer.authority) if self.issuer else None

    def command(self, *arguments: str) -> str:
        """Run a command of the gateway; return what it prints."""
        return _command(self.env, *arguments)

    def await_pdfs(self) -> None:
        """Wait until no report changes any more."""
        with self.client() as client:
            await_pdfs(self.gateway, Authorization=f"Bearer {client.log_in()}")

    @contextmanager
    def client(self, scope: str = SCOPE) -> Iterator[BulkClient]:
        """The client as a program, not logged in."""
        trusted = ssl.create_default_context(cafile=self.authority)
        with httpx.Client(verify=trusted, timeout=20) as http:
            yield BulkClient(self.gateway.fhir_base, self.client_id, KEY, scope, http)


@contextmanager
def builtin_login(folder: Path, database_url: str) -> Iterator[Login]:
    """A gateway that gives out tokens itself."""
    settings = {"GATEWAY_AUTH__MODE": "builtin"}
    env = environment("http://127.0.0.1:1", database_url, site_file(folder), **settings)
    with running(folder, database_url, STUDIES, free_port(), **settings) as gateway:
        (folder / "client.json").write_bytes(jwks(KEY))
        port = {"GATEWAY_SERVER__PORT": gateway.root.rpartition(":")[2]}
        said = _command({**env, **port}, "clients", "add", "City EHR", "--scope", SCOPE, "--jwks", "client.json")
        client_id = re.findall("client id: (.+)", said)[0]
        login = Login(gateway, client_id, {**env, **port})
        login.await_pdfs()
        yield login


@contextmanager
def external_login(folder: Path, database_url: str) -> Iterator[Login]:
    """A gateway that trusts oidc-provider."""
    with external_issuer(folder, free_port(), AUDIENCE, _APP, KEY, f"{SCOPE} system/Patient.cruds") as issuer:
        settings = {
            "GATEWAY_AUTH__MODE": "external",
            "GATEWAY_AUTH__ISSUER": issuer.url,
            "GATEWAY_AUTH__AUDIENCE": AUDIENCE,
            "GATEWAY_AUTH__ALLOW_PRIVATE_JWKS": "true",
            "SSL_CERT_FILE": str(issuer.authority),
        }
        env = environment("http://127.0.0.1:1", database_url, site_file(folder), **settings)
        with running(folder, database_url, STUDIES, free_port(), **settings) as gateway:
            _command(env, "clients", "add", "City EHR", "--scope", SCOPE, "--external", _APP)
            viewer = ("--scope", "patient/*.rs system/DiagnosticReport.rs", "--external", str(APP["client_id"]))
            _command(env, "clients", "add", "Viewer", *viewer)
            login = Login(gateway, _APP, env, issuer)
            login.await_pdfs()
            yield login


def _command(env: Mapping[str, str], *arguments: str) -> str:
    folder = Path(env["GATEWAY_CONFIG"]).parent
    done = subprocess.run([COMMAND, *arguments], env=dict(env), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
