"""docs/guide.md: systemd accepts the unit, Kubernetes the manifests, and neither gives more than is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.auth.bearer import OPEN
from gateway.fhir_api.http.perimeter import UNNAMED
from gateway.settings import load, require_guarded, require_mode
from gateway.settings.model import fields, variables

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "docs" / "deployment" / "autoscribe-gateway.service"
MANIFESTS = [one for one in yaml.safe_load_all((ROOT / "docs/deployment/kubernetes.yaml").read_text("utf-8")) if one]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
RELEASES = ("1.30", "1.37")  # oldest and newest release of Kubernetes that the manifests are held against
STATE = "/var/lib/autoscribe-gateway"


def kubernetes() -> Any:
    """Return the validator, which takes longer to load than all other tests of the documents."""
    import kubernetes_validate

    return kubernetes_validate


def manifest(kind: str, name: str = "autoscribe-gateway") -> Any:
    return next(one for one in MANIFESTS if (one["kind"], one["metadata"]["name"]) == (kind, name))


def pod() -> Any:
    return manifest("StatefulSet")["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("needs systemd-analyze")
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Copy of the unit with a program and a user that this machine has."""
    copy = tmp_path / UNIT.name
    text = UNIT.read_text("utf-8").replace("/opt/autoscribe-gateway/bin/autoscribe-gateway", shutil.which("true") or "")
    copy.write_text(text.replace("User=autoscribe-gateway", "User=daemon"))
    return copy


def test_systemd_accepts_every_line_of_the_unit(systemd_analyze: str, unit: Path) -> None:
    command = [systemd_analyze, "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


def test_systemd_calls_the_unit_well_protected(systemd_analyze: str, unit: Path) -> None:
    command = [systemd_analyze, "security", "--offline=yes", "--no-pager", "--threshold=15", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_the_unit_keeps_what_the_service_writes_where_the_documents_say() -> None:
    lines = UNIT.read_text("utf-8").splitlines()
    assert {"UMask=0077", "StateDirectoryMode=0700", f"WorkingDirectory={STATE}", "LimitCORE=0"} <= set(lines)
    assert f"GATEWAY_DATABASE_URL=sqlite:///{STATE}/gateway.db" in (ROOT / "docs/guide.md").read_text("utf-8")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("one", MANIFESTS, ids=lambda one: f"{one['kind']}/{one['metadata']['name']}")
def test_kubernetes_knows_every_field_of_a_manifest(one: Any, release: str) -> None:
    kubernetes().validate(one, release, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_refused() -> None:
    with pytest.raises(kubernetes().ValidationError):
        kubernetes().validate({**manifest("Service"), "specs": {}}, RELEASES[1], strict=True)


def test_no_container_may_do_more_than_the_service_needs() -> None:
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod().keys()
    for container in pod()["containers"]:
        own = container["securityContext"]
        assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
    service = COMPOSE["services"]["gateway"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert manifest("Namespace")["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_user_and_folder_are_those_of_the_image() -> None:
    [gateway] = pod()["containers"]
    assert re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[1] == str(gateway["securityContext"]["runAsUser"])
    assert STATE in {one["mountPath"] for one in gateway["volumeMounts"]}
    assert f"VOLUME {STATE}" in DOCKERFILE
    writable = {one["mountPath"] for one in gateway["volumeMounts"] if not one.get("readOnly")}
    assert writable == {STATE, "/tmp"}


def test_one_process_owns_the_sqlite_file() -> None:
    spec = manifest("StatefulSet")["spec"]
    assert spec["replicas"] == 1
    assert spec["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_probes_ask_over_tls_for_addresses_that_the_gateway_answers_without_a_token() -> None:
    [gateway] = pod()["containers"]
    asked = [gateway[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert [one["path"] for one in asked] == ["/livez", "/livez", "/readyz"]
    assert {one["path"] for one in asked} <= OPEN & UNNAMED
    assert {(one["scheme"], one["port"]) for one in asked} == {("HTTPS", gateway["ports"][0]["name"])}


def test_the_health_check_of_compose_is_for_a_certificate_of_another_name() -> None:
    *_, program = COMPOSE["services"]["gateway"]["healthcheck"]["test"]
    assert compile(program, "check", "exec")
    assert "https://127.0.0.1:8800/livez" in program
    assert "GATEWAY_SERVER__TLS_CERTIFICATE" in COMPOSE["services"]["gateway"]["environment"]


def named_variables() -> Iterator[str]:
    for one in pod()["containers"][0]["env"]:
        yield one["name"]
    yield from COMPOSE["services"]["gateway"]["environment"]


def test_every_variable_is_one_that_the_settings_know() -> None:
    known = {variable for section, name, _ in fields() for variable in variables(f"{section}.{name}")} | {
        "GATEWAY_CONFIG"
    }
    assert [one for one in named_variables() if one.removesuffix("_FILE") not in known] == []


@pytest.fixture
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [one for one in os.environ if one.startswith(("AVARA_", "GATEWAY_"))]:
        monkeypatch.delenv(variable)


@pytest.mark.usefixtures("_nothing_set")
def test_with_the_settings_of_the_manifest_clients_log_in_over_tls(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(manifest("ConfigMap")["data"]["gateway.toml"])
    configuration = load(file)
    require_mode(configuration)
    require_guarded(configuration)
    settings = configuration.settings
    [gateway] = pod()["containers"]
    assert (settings.auth.mode, settings.server.host) == ("builtin", "0.0.0.0")
    assert settings.server.port == gateway["ports"][0]["containerPort"]
    assert settings.server.public_url == "https://reports.example.org/fhir"
    mounted = {one["mountPath"]: one["name"] for one in gateway["volumeMounts"]}
    for path in (settings.server.tls_certificate, settings.server.tls_key, configuration.audit_seal_key):
        assert path is not None
        [volume] = [one for one in pod()["volumes"] if one["name"] == mounted[str(path.parent)]]
        assert path.name in manifest("Secret", volume["secret"]["secretName"])["stringData"]


@pytest.mark.usefixtures("_nothing_set")
def test_with_the_variables_of_compose_clients_log_in_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in COMPOSE["services"]["gateway"]["environment"].items():
        if name.startswith(("GATEWAY_AUTH__", "GATEWAY_SERVER__")):
            usual = re.fullmatch(r"\$\{\w+:-(.*)\}", value)
            given = "https://reports.example.org/fhir" if ":?" in value else value
            monkeypatch.setenv(name, usual[1] if usual else given)
    configuration = load()
    require_mode(configuration)
    require_guarded(configuration)
    assert configuration.settings.auth.mode == "builtin"
    assert configuration.settings.server.tls_certificate


@pytest.mark.usefixtures("_nothing_set")
def test_the_audit_and_its_seal_key_lie_in_the_folder_of_the_service_and_the_key_outside_the_audit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{STATE}/gateway.db")
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "builtin")
    configuration = load()
    assert configuration.audit_dir == Path(STATE, "audit")
    assert configuration.audit_seal_key.parent == Path(STATE)


def test_every_secret_of_the_manifests_is_a_placeholder() -> None:
    secrets = [one for one in MANIFESTS if one["kind"] == "Secret"]
    assert {value for one in secrets for value in one["stringData"].values()} == {"REPLACE"}


def test_nobody_reaches_the_pod_but_over_tls() -> None:
    policy = manifest("NetworkPolicy")["spec"]
    assert [one["port"] for rule in policy["ingress"] for one in rule["ports"]] == [8443]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["to"] and rule["ports"] for rule in policy["egress"])
