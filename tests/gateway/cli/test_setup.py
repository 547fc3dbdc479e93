"""`autoscribe-gateway setup`: from a key to checked settings and a message, and never over what is there."""

from __future__ import annotations

import asyncio
import io
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import structlog
from fakes.sandboxed import Running, running

from gateway.checks import config
from gateway.cli import setup
from gateway.cli.main import main
from gateway.sandbox.people import FACILITIES
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.upstream import SandboxOptions
from gateway.settings import load
from mappings.hl7v2.received import read

API_KEY = "sandbox-key-4711"
KNOWN = [one for one in FACILITIES if one.is_known]
ANSWERS = """
[upstream]
base_url = "{url}"
api_key = "{key}"

[mapping]
sending_facility = "CITY"

[[mapping.facilities]]
name = "Sandbox General Hospital"
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:2.999.1.1"
mrn_namespace = "SBXGEN"
"""
DESTINATION = """
[[destination]]
name = "ehr"
kind = "mllp"
host = "127.0.0.1"
port = {port}
receiver = "generic"
start = 2026-03-01T00:00:00Z
facilities = ["{facility}"]
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with running(SandboxOptions(studies=24, switches=("accession=metadata",), api_key=API_KEY)) as one:
        yield one


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of a new user: nothing is set, and what the command sets for itself is gone afterwards."""
    before, logging = dict(os.environ), structlog.get_config()
    for name in [one for one in os.environ if one.startswith(("AVARA_", "GATEWAY_"))]:
        del os.environ[name]
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    structlog.configure(**logging)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with what is typed, as a process of its own: it knows nothing of the one before."""

    def once(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        mine = {name: value for name, value in os.environ.items() if name.startswith(("AVARA_", "GATEWAY_"))}
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        try:
            with pytest.raises(SystemExit) as ended:
                main(["setup", *arguments])
        finally:
            for name in [one for one in os.environ if one.startswith(("AVARA_", "GATEWAY_"))]:
                del os.environ[name]
            os.environ.update(mine)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return once


def answers(sandbox: Running, more: str = "", key: str = API_KEY) -> str:
    Path("answers.toml").write_text(ANSWERS.format(url=sandbox.url, key=key) + more)
    return "answers.toml"


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def test_answers_become_settings_keys_of_their_own_and_a_message_that_is_accepted(run: Run, sandbox: Running) -> None:
    code, out, err = run("--answers", answers(sandbox))
    assert code == 0
    assert re.search(
        r"^generic: ORU\^R01 of rep_\w+ to a listener at port \d+: AA, no faults found$", out, re.MULTILINE
    )
    assert "online: AutoScribe, its PDF store and the database answer as they should" in err
    settings = tomllib.loads(Path("gateway.toml").read_text())
    assert settings["mapping"]["accession_keys"] == ["accessionNumber"]
    assert settings["mapping"]["facilities"][0]["time_zone"] == "America/New_York"
    assert {one["name"] for one in settings["mapping"]["facilities"]} == {one.name for one in KNOWN}
    assert [mode(one) for one in ("site.key", "autoscribe.key")] == [0o600, 0o600]
    assert Path("autoscribe.key").read_text() == f"{API_KEY}\n"
    assert re.fullmatch(r"v1\.[0-9a-f]{64}\n", Path("site.key").read_text())


def test_what_autoscribe_has_and_does_not_know_is_shown(run: Run, sandbox: Running) -> None:
    _, out, _ = run("--answers", answers(sandbox))
    assert re.search(r'facility "Sandbox General Hospital": \d+ reports, \d+ with an MRN \(authority: SBXGEN\)', out)
    assert re.search(r'facility "Sandbox Mountain Clinic": .*\(authority: not known\), time zone: not known', out)
    assert re.search(r'express customer "cus_\w{32}": \d+ stud(y|ies) with an externalPatientId', out)
    assert re.search(r'doctor usr_\w{32} "Rhea Ann Diologist MD FACR", NPI "\d{10}"', out)
    assert '"Petra Withoutnpi", NPI "not known"' in out


def test_no_secret_is_printed_or_written_anywhere_but_in_its_own_file(run: Run, sandbox: Running) -> None:
    _, out, err = run("--answers", answers(sandbox))
    key = Path("site.key").read_text().strip()
    for text in (out, err, Path("gateway.toml").read_text(), Path("environment").read_text()):
        assert API_KEY not in text
        assert key not in text


def test_the_environment_file_is_all_that_the_other_commands_need(run: Run, sandbox: Running) -> None:
    run("--answers", answers(sandbox))
    for line in Path("environment").read_text().splitlines():
        name, _, value = line.partition("=")
        os.environ[name] = value.strip("'")
    assert config.faults(None) == []
    upstream = load().settings.upstream
    assert upstream.api_key is not None
    assert (upstream.api_key.get_secret_value(), upstream.base_url) == (API_KEY, sandbox.url)


def test_a_second_run_writes_nothing_and_finds_nothing_to_change(run: Run, sandbox: Running) -> None:
    run("--answers", answers(sandbox))
    before = {
        path: path.read_bytes() for path in Path().iterdir() if path.suffix in {".toml", ".key", ""} and path.is_file()
    }
    code, out, _ = run()
    assert code == 0
    assert out.count("where all is as it would be written") == 2
    assert {path: path.read_bytes() for path in before} == before


def test_a_second_run_with_other_answers_shows_the_difference_and_no_secret(run: Run, sandbox: Running) -> None:
    run("--answers", answers(sandbox))
    path = Path("gateway.toml")
    path.write_text(path.read_text() + '\n[webhook]\nkey = "whsec_c2VjcmV0Cg=="\n')
    before = path.read_bytes()
    _, out, _ = run("--answers", answers(sandbox, '[log]\nlevel = "error"\n'))
    assert '+level = "error"' in out
    assert "-key = **********" in out
    assert "c2VjcmV0Cg" not in out
    assert path.read_bytes() == before


def test_an_environment_file_of_the_site_s_own_is_left_and_never_shown(run: Run, sandbox: Running) -> None:
    Path("environment").write_text("AVARA_WEBHOOK_KEY='whsec_c2VjcmV0Cg=='\n")
    _, out, _ = run("--answers", answers(sandbox))
    assert f"+GATEWAY_CONFIG={Path('gateway.toml').absolute()}" in out
    assert "c2VjcmV0Cg" not in out
    assert Path("environment").read_text() == "AVARA_WEBHOOK_KEY='whsec_c2VjcmV0Cg=='\n"


def test_without_answers_it_asks_and_asks_again_what_it_cannot_read(run: Run, sandbox: Running) -> None:
    os.environ["AVARA_BASE_URL"] = sandbox.url
    first = sorted(KNOWN, key=lambda one: one.name)
    typed = [API_KEY, "CITY", *("Atlantis/Capital", "America/Denver", "given_family", "NS", "no uri", "urn:oid:1.2.3")]
    code, _, err = run(typed="\n".join(typed) + "\n")
    assert code == 0
    assert "not the name of a time zone, such as America/New_York; " in err and "not a URI; " in err
    tables = tomllib.loads(Path("gateway.toml").read_text())["mapping"]["facilities"]
    asked = {
        "time_zone": "America/Denver",
        "name_order": "given_family",
        "mrn_namespace": "NS",
        "mrn_system": "urn:oid:1.2.3",
    }
    assert [{key: one[key] for key in asked} for one in tables if "time_zone" in one] == [asked]
    assert sorted(one["name"] for one in tables) == [one.name for one in first]
    assert f"AVARA_BASE_URL={sandbox.url}" in Path("environment").read_text()
    assert Path("gateway.toml").read_text().count("# time_zone: not known") == len(tables) - 1


@pytest.mark.timeout(60)
def test_on_a_terminal_the_key_is_not_shown(folder: Path, sandbox: Running) -> None:
    ours, theirs = os.openpty()
    command, env = [sys.executable, "-m", "gateway", "setup"], {"PATH": "/usr/bin:/bin", "AVARA_BASE_URL": sandbox.url}
    shown = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True) as one:
        os.close(theirs)
        with suppress(OSError):  # the terminal ends with the command
            while piece := os.read(ours, 65_536):
                shown += piece
                if shown.endswith(b"study scope All: "):
                    os.write(ours, f"{API_KEY}\n".encode())
                elif shown.endswith(b"(Enter: not known): "):
                    os.write(ours, b"\n")
    os.close(ours)
    assert one.returncode == 0, shown.decode()
    assert API_KEY.encode() not in shown
    assert (folder / "autoscribe.key").read_text() == f"{API_KEY}\n"


def test_a_key_of_the_environment_is_used_and_not_copied(run: Run, sandbox: Running) -> None:
    os.environ.update({"AVARA_API_KEY": API_KEY, "GATEWAY_MAPPING__SITE_KEY": "5a" * 32})
    text = Path(answers(sandbox)).read_text().replace(f'api_key = "{API_KEY}"', "")
    Path("answers.toml").write_text(text)
    assert run("--answers", "answers.toml")[0] == 0
    assert not Path("site.key").exists() and not Path("autoscribe.key").exists()
    assert "_FILE" not in Path("environment").read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[sync]\nsweep_interval = "often"\n', "answers.toml: sync.sweep_interval"),
        (
            DESTINATION.format(port=1, facility="*").replace("start", "#start"),
            "answers.toml: destination[0].start: missing",
        ),
        ('[webhook]\nkey = "whsec_c2VjcmV0Cg=="\n', "answers.toml: webhook.key: a secret"),
        (DESTINATION.format(port=1, facility="*") + 'token = "abc"\n', "answers.toml: destination.token: a secret"),
        ('[database]\nurl = "postgresql://u:pw@db/x"\n', "answers.toml: database.url: a secret"),
        ("[mapping\n", "answers.toml"),
    ],
)
def test_with_wrong_answers_or_other_secrets_nothing_is_written(
    run: Run, sandbox: Running, more: str, said: str
) -> None:
    code, out, err = run("--answers", answers(sandbox, more))
    assert code == 2
    assert said in err
    assert [one.name for one in Path().iterdir()] == ["answers.toml"]
    assert not re.search("c2VjcmV0Cg|abc|pw@", out + err)


def test_with_a_key_that_autoscribe_refuses_nothing_is_written(run: Run, sandbox: Running) -> None:
    code, _, err = run("--answers", answers(sandbox, key="wrong-key"))
    assert code == 1
    assert "upstream-key-refused" in err and "wrong-key" not in err
    assert [one.name for one in Path().iterdir()] == ["answers.toml"]


def test_without_a_key_nothing_is_read(run: Run) -> None:
    code, _, err = run()
    assert (code, list(Path().iterdir())) == (2, [])
    assert "no API key" in err


def test_where_nothing_can_be_written_it_says_where(run: Run, sandbox: Running) -> None:
    code, _, err = run("--answers", answers(sandbox), "--config", "none/gateway.toml")
    assert code == 2
    assert "none/autoscribe.key: the file: cannot be written (No such file or directory)" in err


async def test_each_receiver_gets_a_message_of_its_facilities_and_none_is_sent_before_it_goes_live(
    run: Run, sandbox: Running
) -> None:
    messages: list[bytes] = []
    async with MllpReceiver(port=0, on_message=lambda one: messages.append(one.payload)) as receiver:
        text = answers(sandbox, DESTINATION.format(port=receiver.port, facility="Sandbox General Hospital"))
        code, out, err = await asyncio.to_thread(run, "--answers", text)
    assert (code, messages) == (0, []), err
    assert re.search(r"^ehr: ORU\^R01 of rep_\w+ to a listener at port \d+: AA, no faults", out, re.MULTILINE)
    assert load(Path("gateway.toml")).settings.destination[0].dry_run


def test_a_receiver_of_a_facility_whose_authority_is_not_known_is_a_fault_and_no_message_is_tried(
    run: Run, sandbox: Running
) -> None:
    code, out, err = run("--answers", answers(sandbox, DESTINATION.format(port=1, facility="Sandbox Mountain Clinic")))
    assert code == 1
    assert "mrn_namespace: missing, and destination ehr would hold its reports" in err
    assert "ORU^R01" not in out


@pytest.mark.parametrize(
    ("facility", "more", "number"),
    [
        ("Sandbox General Hospital", "", "^^^SBXGEN^MR"),
        ("Sandbox Mountain Clinic", 'mrn_authority = "receiver"\n', "^^^^MR"),
    ],
)
async def test_what_the_listener_gets_is_the_report_as_the_receiver_would_get_it(
    run: Run, sandbox: Running, monkeypatch: pytest.MonkeyPatch, facility: str, more: str, number: str
) -> None:
    received: list[bytes] = []
    kept = partial(MllpReceiver, on_message=lambda one: received.append(one.payload))
    monkeypatch.setattr(setup, "MllpReceiver", kept)
    text = answers(sandbox, DESTINATION.format(port=1, facility=facility) + more)
    _, out, _ = await asyncio.to_thread(run, "--answers", text)
    [message] = received
    segments = {one.name: one for one in read(message).segments}
    [snapshot] = [
        one["snapshotMetadata"]
        for reports in sandbox.state.reports.values()
        for one in reports
        if one["reportId"] in out
    ]
    assert snapshot["facilityName"] == facility
    assert segments["MSH"].field(4) == "CITY"
    assert segments["PID"].field(3).split("~")[0] == f"{snapshot['mrn']}{number}"
    assert bool(re.search(r"[+-]\d{4}$", segments["OBR"].field(7))) is (facility == "Sandbox General Hospital")


def test_where_no_report_is_for_a_receiver_it_says_why(run: Run, sandbox: Running) -> None:
    more = DESTINATION.format(port=1, facility="Sandbox General Hospital") + 'modalities = ["XA"]\n'
    code, out, _ = run("--answers", answers(sandbox, more))
    assert code == 1
    assert "ehr: no message of any signed report: excluded facilities, excluded modalities" in out
