"""Commands as typed: output, streams, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest
from fakes.gateway_process import site_file

from gateway.cli import main
from gateway.runtime.serving import listening_socket
from mappings.profile import RECEIVERS

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden"
CASES = ("final-ct", "critical", "metric")
WIRE = str(GOLDEN / "final-ct" / "wire.json")
SITE_KEY = "0123456789abcdef0123456789abcdef"


def environment(**more: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AVARA_", "GATEWAY_"))}
    return clean | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"} | more


def run(*arguments: str, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(command, input=stdin, env=environment(**more), capture_output=True, timeout=60, check=False)


def test_convert_writes_a_bundle_on_stdout_and_everything_else_on_stderr() -> None:
    result = run("convert", "--to", "fhir", WIRE)
    assert result.returncode == 0
    assert json.loads(result.stdout)["type"] == "collection"
    assert b"published demo key" in result.stderr


def test_convert_reads_a_pipe_and_writes_er7_with_cr() -> None:
    result = run("convert", "--to", "hl7v2", stdin=Path(WIRE).read_bytes(), GATEWAY_MAPPING__SITE_KEY=SITE_KEY)
    assert (result.returncode, b"demo key" in result.stderr) == (0, False)
    assert result.stdout.startswith(b"MSH|^~\\&|") and result.stdout.endswith(b"\r") and b"\n" not in result.stdout


@pytest.mark.parametrize(
    ("to", "said"), [("fhir", r"judged: \d+ resources, no faults"), ("hl7v2", r"judged: 1 message, no faults")]
)
def test_convert_judges_its_output_on_request_and_says_how_much_it_judged(to: str, said: str) -> None:
    result = run("convert", "--to", to, "--validate", WIRE)
    assert result.returncode == 0
    assert re.fullmatch(said, result.stderr.decode().splitlines()[-1])
    assert b"judged" not in run("convert", "--to", to, WIRE).stderr


DESTINATION = """
[[mapping.facilities]]
name = "City Medical Center"
name_order = "given_family"
mrn_system = "urn:oid:1.2.840.99999.1"
mrn_namespace = "CITY"
[[destination]]
name = "city"
kind = "file"
directory = "out"
receiver = "generic"
start = 2020-01-01T00:00:00Z
facilities = ["*"]
mrn_authority = "receiver"
accession = "required"
MORE
"""


@pytest.mark.parametrize(
    ("more", "becomes"), [("", "held (accession-missing)"), ('modalities = ["US"]', "excluded (modalities)")]
)
def test_convert_for_a_destination_has_its_own_switches_and_says_what_would_become_there(tmp_path, more, becomes):
    file = tmp_path / "gateway.toml"
    file.write_text(DESTINATION.replace("MORE", more))
    result = run("convert", "--to", "hl7v2", "--destination", "city", "--config", str(file), "--pretty", WIRE)
    assert result.returncode == 0, result.stderr
    assert re.search(rf"^city: rep_\w+ would be {re.escape(becomes)}$", result.stderr.decode(), re.MULTILINE)


def test_convert_counts_every_message_that_it_judges() -> None:
    studies = b"\n".join(json.dumps(json.loads((GOLDEN / case / "wire.json").read_text())).encode() for case in CASES)
    result = run("convert", "--to", "hl7v2", "--validate", stdin=studies)
    assert (result.returncode, result.stdout.count(b"MSH|")) == (0, 3)
    assert result.stderr.decode().splitlines()[-1] == "judged: 3 messages, no faults"


def test_a_report_that_is_held_is_an_issue_on_stderr_and_fails_only_the_judging_of_nothing() -> None:
    draft = str(GOLDEN / "draft" / "wire.json")
    plain = run("convert", "--to", "hl7v2", draft)
    assert (plain.returncode, plain.stdout) == (0, b"")
    judged = run("convert", "--to", "hl7v2", "--validate", draft)
    assert (judged.returncode, judged.stdout) == (1, b"")
    assert b"report-not-signed" in plain.stderr and b"report-not-signed" in judged.stderr
    assert judged.stderr.decode().splitlines()[-1] == "judged: nothing, for no message was made"
    nothing = run("convert", "--to", "fhir", "--validate", stdin=b"[]")
    assert (nothing.returncode, nothing.stderr.splitlines()[-1]) == (1, b"judged: nothing, for no resource was made")


def test_the_help_of_convert_loses_nothing_to_markup() -> None:
    shown = run("convert", "--help").stdout.decode()
    assert all(name in shown for name in RECEIVERS)
    assert "or one of the site's own." in " ".join(shown.replace("│", " ").split())


def test_what_the_judge_finds_is_a_line_each_on_stderr_and_exit_1() -> None:
    study = json.loads(Path(WIRE).read_text())
    study["reports"][0]["snapshotMetadata"]["patientName"] = "D" * 400 + ", Jane"
    result = run("convert", "--to", "hl7v2", "--validate", stdin=json.dumps(study).encode())
    faults = [line for line in result.stderr.decode().splitlines() if line.startswith("fault: ")]
    assert (result.returncode, len(faults)) == (1, 1)
    assert result.stderr.decode().splitlines()[-1] == "judged: 1 message, 1 fault"
    assert "PID" in faults[0] and "length-exceeded" in faults[0] and "DDDD" not in result.stderr.decode()


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"[1", "/: expected JSON, found something else at line 1, column 3"),
        (b'{"reportId": 7}', "/studyId: expected an id `stu_` + 32 hex digits, found nothing"),
    ],
)
def test_bad_input_exits_2_names_the_place_and_writes_nothing(stdin: bytes, message: str) -> None:
    for to in ("fhir", "hl7v2"):
        result = run("convert", "--to", to, stdin=stdin)
        assert (result.returncode, result.stdout) == (2, b"")
        assert "expected" in result.stderr.decode()
        assert "Traceback" not in result.stderr.decode()


def test_convert_takes_the_receivers_of_the_site_by_name_and_names_them_all_when_there_is_no_such(
    tmp_path: Path,
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[[mapping.receivers]]\nname = "mercy"\nbase = "generic"\nversion = "2.4"\n')
    result = run("convert", "--to", "hl7v2", "--receiver", "mercy", "--config", str(config), WIRE)
    assert (result.returncode, result.stdout.split(b"\r")[0].split(b"|")[11]) == (0, b"2.4")
    result = run("convert", "--to", "hl7v2", "--receiver", "city", "--config", str(config), WIRE)
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"Known here: mercy, " in result.stderr and b"generic" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("convert", "--to", "fhir", "no-such-file.json"),
            "no-such-file.json: cannot be read (No such file or directory).",
        ),
        (("convert", "--to", "hl7v2", "--receiver", "nobody", WIRE), "no such receiver profile"),
        (("convert", "--to", "hl7v2", "--destination", "nowhere", WIRE), "no destination has this name"),
        (
            ("convert", "--to", "hl7v2", "--destination", "a", "--receiver", "pkb", WIRE),
            "--receiver: a destination has",
        ),
        (("convert", "--to", "fhir", "--config", "no-such.toml", WIRE), "no-such.toml: file: cannot be read"),
        (("convert", "--to", "latin", WIRE), "Invalid value for '--to'"),
        (("convert", "--to", "trace", "--validate", WIRE), "a trace has nothing to be judged. Use --to fhir"),
        (("serve", "--host", "0.0.0.0"), "nobody has to log in"),
        (("sandbox", "--webhook-url", "http://127.0.0.1:1/"), "--webhook-url and --webhook-key go together"),
        (("sandbox", "--fault", "hiccup", "--port", "0"), "hiccup"),
        (("listen", "--ack", "perhaps", "--port", "0"), "Name one of aa, ae, ar"),
        (("demo", "--once", "--port", "-1"), "--port"),
    ],
)
def test_a_mistake_exits_2_and_says_what_to_do(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2, result.stderr.decode()
    assert message in result.stderr.decode()
    assert "Traceback" not in result.stderr.decode()


def test_serve_says_which_setting_is_missing() -> None:
    assert "auth.mode: missing" in run("serve", AVARA_API_KEY="k").stderr.decode()
    login = {"GATEWAY_AUTH__MODE": "builtin"}
    assert "mapping.site_key: missing" in run("serve", AVARA_API_KEY="k", **login).stderr.decode()
    assert "AVARA_API_KEY" in run("serve", GATEWAY_MAPPING__SITE_KEY=SITE_KEY, **login).stderr.decode()


@pytest.mark.parametrize(
    ("roles", "loop"), [("api", "uvloop"), ("api,console", "uvloop"), ("api,sync,feed", "asyncio"), ("sync", "asyncio")]
)
def test_only_a_process_that_only_answers_runs_on_uvloop(
    roles: str, loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process with the role `feed` or `sync` speaks MLLP, whose permits need asyncio's own loop."""
    loops: list[str] = []

    async def serve(*_: object, **__: object) -> int:
        loops.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])
        return 0

    monkeypatch.setattr("gateway.app.serve", serve)
    with pytest.raises(SystemExit) as ended:
        main.serve(site_file(tmp_path), roles=roles)
    assert (loops, ended.value.code) == ([loop], 0)


@pytest.mark.parametrize("command", [["serve"], ["keys", "seal"], ["audit", "verify"]])
def test_no_command_keeps_the_audit_where_it_happens_to_run(command: list[str]) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    login = {"GATEWAY_AUTH__MODE": "builtin", "GATEWAY_MAPPING__SITE_KEY": SITE_KEY, "GATEWAY_DATABASE_URL": url}
    refused = run(*command, AVARA_API_KEY="k", **login)
    assert refused.returncode == 2
    assert "feed.state_dir: missing: with PostgreSQL the audit" in refused.stderr.decode()


def test_serve_says_at_its_start_what_check_config_refuses_and_it_starts_with(tmp_path: Path) -> None:
    facility = '[[mapping.facilities]]\nname = "City"\nname_order = "given_family"\n'
    destination = (
        '[[destination]]\nname = "ehr"\nkind = "mllp"\nhost = "localhost"\nport = 2575\nreceiver = "generic"\n'
        'start = 2026-03-01T00:00:00Z\nfacilities = ["City"]\n'
    )
    path = tmp_path / "gateway.toml"
    path.write_text(facility + destination + '[auth]\nmode = "builtin"\n')
    refused = run("check-config", "--config", str(path), AVARA_API_KEY="k", GATEWAY_MAPPING__SITE_KEY=SITE_KEY)
    [fault] = refused.stderr.decode().splitlines()
    assert "mapping.facilities[0].mrn_namespace: missing" in fault
    said = run("serve", "--config", str(path), AVARA_API_KEY="k").stderr.decode().splitlines()
    assert said[0] == f"check-config refuses this, the service starts all the same: {fault}"


def test_serve_says_at_its_start_which_folder_is_open_to_other_users() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        if any(not above.stat().st_mode & 0o001 for above in Path(folder).parents):
            pytest.skip("needs a folder for temporary files that others can enter")
        url = f"sqlite:///{folder}/gateway.db"
        said = (
            run("serve", AVARA_API_KEY="k", GATEWAY_DATABASE_URL=url, GATEWAY_AUTH__MODE="builtin")
            .stderr.decode()
            .splitlines()
        )
    assert said[0].startswith("note: feed.state_dir: other users of this machine can change what is in it: ")
    assert "mapping.site_key" in said[1]


def test_check_config_exits_1_with_a_line_for_each_fault_and_0_with_what_is_in_force(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[server]\nport = "eighty"\n[mapping]\nsite_key = "short"\n')
    wrong = run("check-config", "--config", str(path))
    assert (wrong.returncode, wrong.stdout) == (1, b"")
    assert [line.split(": ")[1] for line in wrong.stderr.decode().splitlines()] == ["server.port", "mapping.site_key"]
    right = run(
        "check-config", AVARA_API_KEY="a-real-key", GATEWAY_MAPPING__SITE_KEY=SITE_KEY, GATEWAY_AUTH__MODE="builtin"
    )
    assert right.returncode == 0
    assert (
        b"auth.mode = builtin (default: not set)" in right.stdout and b"a-real-key" not in right.stdout + right.stderr
    )


def test_keys_site_makes_another_key_each_time_that_is_long_enough() -> None:
    made = {run("keys", "site").stdout.decode().strip() for _ in range(2)}
    assert len(made) == 2 and all(re.fullmatch(r"v1\.[0-9a-f]{64}", key) for key in made)
    assert run("keys", "site", "--version", "2").stdout.startswith(b"v2.")


def test_keys_ehr_makes_a_key_once_and_prints_only_its_public_half(tmp_path) -> None:
    made = [run("keys", "ehr", str(tmp_path / "ehr.pem"), "--algorithm", "RS384").stdout for _ in range(2)]
    (key,) = json.loads(made[0])["keys"]
    assert made[0] == made[1]
    assert (key["alg"], key["kty"], "d" in key) == ("RS384", "RSA", False)
    assert run("keys", "ehr", "/nowhere/ehr.pem").returncode == 2


def test_version_is_that_of_the_distribution() -> None:
    assert run("version").stdout.decode().strip() == "1.0.0"


def without_alert(errors: str) -> list[str]:
    """Leave out the alert about the sandbox's cancelled report, which a demo that runs long enough logs."""
    return [line for line in errors.splitlines() if '"cancelled-after-sign"' not in line]


def test_demo_once_shows_all_three_forms_and_exits_0_only_because_they_agree() -> None:
    result = run(
        "demo", "--once", "--port", "0", "--sandbox-port", "0", "--mllp-port", "0", AVARA_BASE_URL="http://127.0.0.1:9"
    )
    shown = result.stdout.decode()
    assert result.returncode == 0, shown + result.stderr.decode()
    for text in (
        '"reportPlainText"',
        '"DiagnosticReport"',
        '"Patient"',
        "MSH|^~",
        "acknowledged with AA; all three agree",
        "before_start, 1 AA; 0 open",
    ):
        assert text in shown
    assert (shown.splitlines()[-1], without_alert(result.stderr.decode())) == ("certified", [])


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_the_demo_opens_its_console_prints_four_lines_to_try_and_stops_cleanly(number: int) -> None:
    command = [
        sys.executable,
        "-m",
        "gateway",
        "demo",
        "--port",
        "0",
        "--sandbox-port",
        "0",
        "--mllp-port",
        "0",
        "--every",
        "0.2",
    ]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        shown = []
        for line in process.stdout:
            shown.append(line)
            if "/console/sign-in/word?word=" in line:
                opened = httpx.get(line.strip(), follow_redirects=True, headers={"Sec-Fetch-Mode": "navigate"})
            if sum(line.startswith("=== final in FHIR") for line in shown) == 3:
                break
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, without_alert(errors)) == (0, [])
    assert sum(line.strip().startswith("curl -s") for line in shown) == 4
    assert (opened.status_code, "<h1>Overview</h1>" in opened.text) == (200, True)
    assert rest.endswith("stopped\n")


def test_a_port_in_use_is_named_with_a_remedy() -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        result = run("demo", "--once", "--port", port, "--sandbox-port", "0", "--mllp-port", "0")
    assert (result.returncode, result.stdout) == (2, b"")
    assert "choose another port" in result.stderr.decode() and "Traceback" not in result.stderr.decode()
