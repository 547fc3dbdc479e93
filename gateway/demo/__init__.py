"""`autoscribe-gateway demo`: run reports from AutoScribe to FHIR and HL7 v2 on one machine, to watch or as a check.

Carries out no clause of a standard: it runs the parts of the other packages.
Proved by tests/gateway/cli/test_main.py.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import Final

from gateway.app import ConsolePages
from gateway.demo.agreement import compare, comparison, pretty, side_by_side
from gateway.demo.rounds import DemoRound, play
from gateway.demo.stage import HOST, Ports, Stage, stage
from gateway.feed.operator.arguments import EVER
from gateway.feed.operator.certificate import make_certificate
from gateway.runtime import clock, log
from gateway.runtime.signals import stop_signal
from gateway.sandbox.inbox import ReceivedMessage
from gateway.sandbox.readable import readable
from mappings.patient.identifiers import fhir_id

__all__ = ["Ports", "once", "run"]

_PATIENCE: Final = 20.0  # seconds for the first full sweep


async def once(ports: Ports) -> int:
    """Show one report in its three forms side by side and compare them; return 0 only if they agree."""
    log.configure("error")
    async with stage(ports, on_message=_ignore) as playing:
        signed = playing.account.sign_new()
        played = await play(playing, signed.report_id, signed.study_id)
        counts = await _certificate(playing, _PATIENCE)
    code = _judge(played)
    _print(counts)
    return code


async def run(ports: Ports, every: float, console: ConsolePages) -> int:
    """Sign a report every few seconds and follow it, until SIGINT or SIGTERM; `console` shows what happens."""
    log.configure("error")
    async with stop_signal() as stop, stage(ports, on_message=_print_message, console=console) as playing:
        signed = playing.account.sign_new()
        _print(_welcome(playing, signed.report_id, signed.study_id, signed.study_instance_uid))
        while not stop.is_set():
            _print(_line(playing, await play(playing, signed.report_id, signed.study_id)))
            await _pause(stop, every)
            signed = playing.account.sign_new()
        _print(await _certificate(playing, 0))
    _print("stopped")
    return 0


def _judge(played: DemoRound) -> int:
    width = max(shutil.get_terminal_size((160, 40)).columns, 100)
    rows = compare(played.report, played.diagnostic_report, played.patient, played.message)
    rows += [played.order] if played.order else []
    fhir = "\n".join(pretty(one) for one in (played.diagnostic_report, played.patient))
    columns = [
        ("AutoScribe: Report (long texts cut here)", pretty(played.report)),
        ("FHIR: DiagnosticReport, Patient", fhir),
        ("HL7 v2: ORU^R01 as received", played.message.decode().replace("\r", "\n")),
    ]
    _print(side_by_side(columns, width))
    _print("")
    _print(comparison(rows, width))
    agree = all(row.agrees for row in rows) and played.state == "AA"
    answer = "acknowledged with AA" if played.state == "AA" else f"not acknowledged: {played.state}"
    _print(f"\n{answer}; " + ("all three agree" if agree else "they do not agree") + "\n")
    return 0 if agree else 1


async def _certificate(playing: Stage, patience: float) -> str:
    """Return the feed's certificate as text, once nothing is open, or after `patience` seconds."""
    until = clock.monotonic() + patience
    while True:
        made = await make_certificate(playing.configuration, playing.engine, [playing.destination], EVER)
        if made.verdict == "certified" or clock.monotonic() >= until:
            return "\n".join(made.lines())


def _welcome(playing: Stage, report_id: str, study_id: str, uid: str) -> str:
    base, report, study = playing.fhir_base, fhir_id(report_id), fhir_id(study_id)
    return f"""insecure: no login, on this machine alone; the key for patient ids is the published one. Until Ctrl-C:
  sandbox AutoScribe  {playing.configuration.settings.upstream.base_url}
  gateway, FHIR base  {base}
  console, in a browser (once, within five minutes)
                      {playing.console_url}
  MLLP listener       {HOST}:{playing.receiver.port}
  orders come in at   {playing.configuration.settings.source[0].listen}

try in another terminal:
  curl -s '{base}/DiagnosticReport/{report}'
  curl -s '{base}/DiagnosticReport?study={study}&_include=DiagnosticReport:subject'
  curl -s '{base}/DiagnosticReport?imagingStudy.identifier=urn:dicom:uid|urn:oid:{uid}'
  curl -sf '{base}/Binary/{report}-pdf' -o report.pdf
"""


def _line(playing: Stage, played: DemoRound) -> str:
    address = f"{playing.fhir_base}/DiagnosticReport/{played.diagnostic_report['id']}"
    status = played.diagnostic_report["status"]
    return f"=== {status} in FHIR, its ORU^R01 {played.state}: curl -s '{address}'\n"


def _print_message(message: ReceivedMessage) -> None:
    _print(readable(message.payload))


def _ignore(_: ReceivedMessage) -> None:
    """Print nothing, since the round shows the message itself."""


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _print(text: str) -> None:
    print(text, flush=True)
