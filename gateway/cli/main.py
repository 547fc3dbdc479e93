"""`autoscribe-gateway …` (also `python -m gateway …`): arguments and help of all commands.

Carries out no clause of a standard. Exit codes: 0 done, 1 faults were found (or nothing to judge), 2 bad input or
settings.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, NoReturn

import typer

from gateway.cli.audit import audit
from gateway.cli.clients import clients
from gateway.cli.command_line import PORT, CommandGroup, Config, Json, Reason, destination_names, load
from gateway.cli.command_line import exit_code as _run
from gateway.cli.feed import feed
from gateway.cli.keys import keys
from gateway.cli.operators import operators
from gateway.cli.orders import orders
from gateway.cli.patients import patients
from gateway.cli.receivers import receivers
from gateway.cli.run_command import act as _act
from gateway.cli.run_command import act_on_store as _act_on_store
from gateway.cli.run_command import ask as _ask
from gateway.cli.sandbox import sandbox
from gateway.runtime.command_words import ANSWERING, CONSOLE, MANNERS, ROLES
from gateway.runtime.errors import ConfigError, GatewayError
from mappings.issues import SiteError, WireError
from mappings.profile import DEMO_SITE_KEY, RECEIVERS

if TYPE_CHECKING:
    from gateway.cli.convert import Conversion

app = typer.Typer(
    name="autoscribe-gateway",
    help="Radiology reports signed in AutoScribe, delivered as FHIR R4 and HL7 v2.",
    no_args_is_help=True,
    rich_markup_mode=None,  # else each --help imports a library for boxes and colors
    cls=CommandGroup,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 200},  # as wide as the terminal: at 80 it cuts names at their hyphens
)
identity = typer.Typer(help="List and resolve identity conflicts of patients.", no_args_is_help=True, cls=CommandGroup)
for _name, _group in (
    ("keys", keys),
    ("identity", identity),
    ("audit", audit),
    ("clients", clients),
    ("feed", feed),
    ("operators", operators),
    ("orders", orders),
    ("patients", patients),
    ("receivers", receivers),
):
    app.add_typer(_group, name=_name)
app.add_typer(sandbox, name="sandbox")

_RECEIVERS: Final = f"Receiver profile: {', '.join(RECEIVERS)}, or one of the site's own."
Patient = Annotated[str, typer.Argument(metavar="PATIENT", help="Patient id, pat-<32 hex>.")]
Study = Annotated[str, typer.Argument(metavar="STUDY", help="Study id, stu_<32 hex>.")]


def _say_version(is_asked: bool = True) -> None:
    if is_asked:
        from importlib.metadata import version as installed

        print(installed("autoscribe-gateway"))
        raise typer.Exit


@app.callback()
def options(
    shows_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Print the version of this program.")
    ] = False,
) -> None:
    """Accept options before the command."""


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Show one report in AutoScribe, FHIR and HL7 v2, and compare the three.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(**PORT, help="Port of the gateway (8800; with --once a free one).")
    ] = None,
    sandbox_port: Annotated[int | None, typer.Option(**PORT, help="Port of the sandbox (8801, or a free one).")] = None,
    mllp_port: Annotated[int | None, typer.Option(**PORT, help="Port of the MLLP listener (2575, or free).")] = None,
    orders_port: Annotated[int | None, typer.Option(**PORT, help="Port where orders come in (2576, or free).")] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two signatures.")] = 4.0,
) -> None:
    """Run sandbox, gateway and MLLP listener on this machine; a report is signed every few seconds."""
    from dataclasses import replace

    from gateway import demo as demonstration
    from gateway.console.pages import Pages

    usual = demonstration.Ports(0, 0, 0, 0) if once else demonstration.Ports()
    given = {"gateway": port, "sandbox": sandbox_port, "mllp": mllp_port, "orders": orders_port}
    ports = replace(usual, **{name: number for name, number in given.items() if number is not None})
    sys.exit(_run(demonstration.once(ports) if once else demonstration.run(ports, every, Pages(is_demo=True))))


@app.command()
def convert(
    to: Annotated[Literal["fhir", "hl7v2", "trace"], typer.Option("--to", help="Output format.")],
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="AutoScribe JSON or NDJSON; - is standard input.")
    ] = "-",
    receiver_name: Annotated[str | None, typer.Option("--receiver", metavar="NAME", help=_RECEIVERS)] = None,
    destination: Annotated[
        str | None,
        typer.Option(
            "--destination", metavar="NAME", help="Convert for this destination.", autocompletion=destination_names
        ),
    ] = None,
    config: Config = None,
    pretty: Annotated[bool, typer.Option("--pretty", help="Indented JSON; HL7 with a line per segment.")] = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="Validate the output. Exit 1 on a fault, or without output.")
    ] = False,
) -> None:
    """Convert AutoScribe JSON to a FHIR Bundle, HL7 messages, or a trace of every field, without a network."""
    from gateway.cli.convert import Request
    from gateway.cli.convert import convert as convert_text
    from gateway.feed.operator.arguments import destination_named
    from gateway.runtime import clock

    if validate and to == "trace":
        _fail("--validate: a trace has nothing to be judged. Use --to fhir or --to hl7v2.")
    if destination and receiver_name:
        _fail("--receiver: a destination has one. Write one of the two.")
    configuration = load(config)
    if configuration.site.site_key == DEMO_SITE_KEY:
        print("note: patient ids are made with the published demo key (set GATEWAY_MAPPING__SITE_KEY)", file=sys.stderr)
    request = Request(
        to,
        configuration.site,
        configuration.settings.server.fhir_base,
        configuration.site.receiver(receiver_name or "generic"),
        clock.now(),
        pretty,
        validate,
    )
    if destination:
        request = Request.to_destination(request, destination_named(configuration, destination, enabled=False))
    try:
        conversion = convert_text(_input(file), request)
    except WireError as error:
        _fail(str(error))
    sys.stdout.buffer.write(conversion.output)
    sys.stdout.flush()
    for line in (*conversion.issues, *conversion.notes):
        print(line, file=sys.stderr)
    sys.exit(_print_faults(conversion, to) if validate else 0)


@app.command()
def explain(
    report: Annotated[str, typer.Argument(metavar="REPORT", help="Report id, rep_<32 hex>.")],
    field: Annotated[
        str, typer.Argument(metavar="[FIELD]", help="Such as PID-5 or DiagnosticReport.conclusion; default: all.")
    ] = "",
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="NAME", help="As sent to this destination.", autocompletion=destination_names),
    ] = None,
    sent: Annotated[bool, typer.Option("--sent", help="Also show the value in each message sent.")] = False,
    reason: Reason = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Explain where a field's value comes from: rule, source, setting. Shows patient data. Exit 1 without a value."""
    from gateway.feed.operator.explain import Question
    from gateway.feed.operator.explain import explain as explain_report

    question = Question(report, field, at, sent, reason)
    configuration = load(config)
    _act_on_store(
        configuration,
        "explain",
        lambda engine, shows: explain_report(engine, configuration, question, shows=shows),
        reason,
        report,
        as_json=as_json,
        writes=False,
    )


@app.command()
def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(**PORT, help="Port to listen on.")] = None,
    roles: Annotated[str, typer.Option(metavar="ROLES", help="Roles of this process, comma-separated.")] = ",".join(
        ROLES
    ),
    hold_feed: Annotated[
        bool, typer.Option("--hold-feed", help="Send no HL7 v2 until `feed resume` is run for each destination.")
    ] = False,
    restored_from: Annotated[
        str | None,
        typer.Option(
            "--restored-from",
            metavar="INSTANT",
            help="With --hold-feed: time of the database backup; reports signed since are held and listed.",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help='Let everybody on this machine read; with auth.mode = "none" alone.')
    ] = False,
) -> None:
    """Run the gateway: crawl AutoScribe, receive webhooks, serve FHIR, and send HL7 v2."""
    from gateway.app import serve as serve_gateway
    from gateway.checks import config as config_check
    from gateway.checks.folders import open_folders
    from gateway.console.pages import PAGES
    from gateway.feed.loops import HoldFeed
    from gateway.feed.operator.arguments import typed_instant
    from gateway.runtime.serving import run_answering
    from gateway.store.database.engine import micros

    wanted = tuple(one.strip() for one in roles.split(",") if one.strip())
    if restored_from is not None and not hold_feed:
        _fail("--restored-from goes with --hold-feed: what may have been sent is not sent again unasked.")
    configuration = load(config)
    hold = HoldFeed() if hold_feed else None
    if restored_from is not None:
        hold = HoldFeed(micros(typed_instant("--restored-from", restored_from, configuration.zone)))
    for fault in config_check.served_all_the_same(configuration):
        print(f"check-config refuses this, the service starts all the same: {fault}", file=sys.stderr)
    for warning in open_folders(configuration):
        print(f"note: {warning}", file=sys.stderr)
    pages = PAGES if CONSOLE in wanted else None
    work = serve_gateway(configuration.listening_on(host, port), wanted, hold, insecure=insecure, console=pages)
    sys.exit(_run(work, run_answering if set(wanted) <= ANSWERING else None))


@app.command()
def sync(
    config: Config = None,
    once: Annotated[
        bool, typer.Option("--once", help="The default. For endless sweeps, run `serve --roles sync`.")
    ] = True,
) -> None:
    """Run one full sweep of AutoScribe into the index, or finish an interrupted one."""
    from gateway.cli.sync import sync_once

    configuration = load(config)
    _act(configuration, "sync", lambda _: sync_once(configuration, print))


@app.command()
def rerender(config: Config = None) -> None:
    """Map all stored studies again, after an upgrade or changed settings. Sends no HL7 v2."""
    from gateway.cli.rerender import rerender as rerender_all

    configuration = load(config)
    _act(configuration, "rerender", lambda _: rerender_all(configuration, print))


@app.command()
def migrate(config: Config = None) -> None:
    """Migrate the database to the schema of this release; `serve` also does this when it starts."""
    from gateway.cli.migrate import migrate as migrate_database

    configuration = load(config)
    _act(configuration, "migrate", lambda _: migrate_database(configuration, print))


@identity.command("list")
def identity_list(config: Config = None) -> None:
    """List identity conflicts: studies kept apart from a patient that they name, and decisions about them."""
    from gateway.feed.operator.study_decisions import list_identities

    _ask(load(config), list_identities)


@identity.command("link")
def identity_link(patient: Patient, study: Study, reason: Reason, config: Config = None) -> None:
    """Decide that the study is about this patient, although the data seem to show two people."""
    _decide_identity("link", patient, study, reason, config)


@identity.command("separate")
def identity_separate(patient: Patient, study: Study, reason: Reason, config: Config = None) -> None:
    """Decide that the study is not about this patient, although it has the same number."""
    _decide_identity("separate", patient, study, reason, config)


def _decide_identity(
    verdict: Literal["link", "separate"], patient: str, study: str, reason: str, config: Path | None
) -> NoReturn:
    from gateway.feed.operator.study_decisions import decide

    configuration = load(config)
    _act_on_store(
        configuration,
        f"identity {verdict}",
        lambda engine, _: decide(engine, configuration, verdict, patient, study, reason),
        reason,
        patient,
        study,
    )


@app.command()
def listen(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(**PORT, help="Port to listen on.")] = 2575,
    ack: Annotated[
        str, typer.Option(metavar="SPEC", help=f"Behavior, such as ar:3 or random:7. Known: {', '.join(MANNERS)}.")
    ] = "aa",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Save each message as a file here.")] = None,
    reply_to: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address for the late acknowledgements of ca-aa-calls.")
    ] = None,
) -> None:
    """Run an MLLP receiver for tests: print each message readably, and answer as --ack says."""
    from gateway.sandbox.late_acks import AckAddress
    from gateway.sandbox.listen import run_listen
    from gateway.sandbox.receiver import MllpReceiver

    address = AckAddress.parse(reply_to) if reply_to is not None else None
    sys.exit(_run(run_listen(MllpReceiver(host, port, ack, out, reply_to=address))))


@app.command()
def setup(
    answers: Annotated[Path | None, typer.Option("--answers", metavar="FILE", help="Answers (TOML).")] = None,
    config: Config = None,
) -> None:
    """Write a site's first settings and keys from AutoScribe and answers, check them, and try a message."""
    from gateway.cli.setup import set_up

    sys.exit(_run(set_up(config, answers, print, _say_aside)))


@app.command("check-config")
def check_config(
    config: Config = None,
    online: Annotated[
        bool,
        typer.Option("--online", help="Also connect to AutoScribe, its PDF store, the database and the destinations."),
    ] = False,
) -> None:
    """List every fault in the settings with file, key and remedy; without faults, print what is no default."""
    from gateway.cli.check_config import say_check

    sys.exit(_run(say_check(config, print, _say_aside, is_online=online)))


@app.command()
def version() -> None:
    """Print the version of this program."""
    _say_version()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with the given arguments, else with those typed."""
    if arguments is None:
        atexit.register(gc.freeze)  # skips a garbage collection at exit, which takes a fifth of a second
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # the eager option --version ends the program before the library imports pydantic to convert the others
        app(args=["--version"] if typed == ["version"] else typed)
    except (ConfigError, SiteError) as error:
        _fail(str(error))
    except GatewayError as error:
        print(f"{error}. {error.remedy}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # a bug: the text of the error may have data of a patient
        from gateway.runtime.log import places_of

        print(f"internal: {type(error).__name__} at {', '.join(places_of(error))}", file=sys.stderr)
        sys.exit(1)


def _say_aside(text: str) -> None:
    print(text, file=sys.stderr)


def _input(file: str) -> bytes:
    if file == "-":
        if sys.stdin.isatty():
            print("reading standard input; Ctrl-D ends it", file=sys.stderr)
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        _fail(f"{file}: cannot be read ({error.strerror}).")


def _print_faults(conversion: Conversion, to: str) -> int:
    """Print the faults found by the judge; return the exit code."""
    from gateway.feed.operator.arguments import counted

    for fault in conversion.faults:
        print(f"fault: {fault.pointer}: {fault.code}: {fault.action}", file=sys.stderr)
    things = "resource" if to == "fhir" else "message"
    if not conversion.made:
        print(f"judged: nothing, for no {things} was made", file=sys.stderr)
        return 1
    verdict = counted(len(conversion.faults), "fault") if conversion.faults else "no faults"
    print(f"judged: {counted(conversion.made, things)}, {verdict}", file=sys.stderr)
    return 1 if conversion.faults else 0


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)
