"""Every command that a document shows does what it says: each is run, or stands in a table with the reason why not."""

from __future__ import annotations

import io
import logging
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from fakes.hospital import an_order
from fakes.hospital_source import merging, ordering
from fakes.operated_site import OperatedSite, operated_site
from fakes.ports import free_port
from fakes.shown_commands import DOCUMENTS, LONG_RUNNING, ROOT, Shown, command_of, leaves, shown, variants, words_of
from fakes.typed_commands import GOLDEN, REGISTERED, typed
from fakes.walks import WALKED

from gateway.cli import main
from gateway.store.database.kept import compressed

SHOWN = [command for path in DOCUMENTS for command in shown(path)]
GENERATED = "docs/reference/commands.md"  # a synopsis of every command: other documents show each at work
LANE = "INSERT INTO lane (destination, study_id, reason, since) VALUES ('city-epic', '{study}', '{reason}', 1)"
OF_THE_STUDY = "WHERE destination = 'city-epic' AND study_id = '{study}'"
REFUSED = f"{LANE}; UPDATE message SET state = 'held', reason = '{{reason}}' {OF_THE_STUDY}"
MOVED = f"{LANE}; UPDATE outbox SET state = 'held', reason = 'move' {OF_THE_STUDY}".replace("{reason}", "move")
IN_DOUBT = "UPDATE outbox SET state = 'held', reason = 'may-have-been-sent' WHERE destination = 'city-epic'"
DEAD = f"UPDATE message SET state = 'dead_letter', reason = 'rule-obr-18' {OF_THE_STUDY}"
RESTORED = "UPDATE destination SET paused = 'restored', paused_since = 1 WHERE name = 'city-epic'"
UNSENT = "UPDATE outbox SET state = 'waiting' WHERE destination = 'city-old'"
HISTORY = (
    "UPDATE outbox SET state = 'before_start' WHERE destination = 'city-epic';"
    " DELETE FROM message WHERE destination = 'city-epic'"
)
ALERT = (
    "INSERT INTO alert (code, destination, count, cases, told, studies)"
    " VALUES ('{code}', 'city-epic', 1, '{{\"1\": [1, \"{study}\"]}}', '{{}}', '[]')"
)
CANCELLED = (
    "INSERT INTO cancelled_report (report_id, study_id, what, version, state, is_critical, since)"
    " VALUES ('{report}', '{study}', 'study', '1', 'open', 0, 1)"
)
CLIENT = (
    f"INSERT INTO client (client_id, name, created, scopes) VALUES ('{REGISTERED}', 'EHR', 1, 'system/Patient.r');"
    f" INSERT INTO client_key_set (client_id, document, added) VALUES ('{REGISTERED}', '{{{{}}}}', 1)"
)
ORDERED = (
    "INSERT OR IGNORE INTO order_match (study_id, verdict, reason, orders, since) VALUES"
    " ('{study}', 'none', 'no-order', '[]', 1), ('{shared}', 'none', 'no-order', '[]', 1);"
    " INSERT INTO hospital_order (number, source, revision, first_at, last_at, applied, body)"
    f" VALUES (1, 'his', 1, 1, 1, 1, X'{an_order().hex()}')"
)
OPERATOR = (
    "INSERT INTO operator (name, role, password, created, changed) VALUES ('k.miller', 'reader', '$argon2id$', 1, 1)"
)
SIGNED_IN = (
    "INSERT INTO console_session (digest, subject, name, member_of, began, seen)"
    " VALUES ('x', '{reason}', 'Ann Lee', '[]', 1, 1)"
)
HELD = (
    "INSERT INTO inbound (number, source, sender, control_id, digest, structure, received, state, code, settled, body)"
    " VALUES ({reason}, 'his', 'HIS', '1', '1', 'ADT^A40', 1, 'held', 'merge-swap', 1,"
    f" X'{compressed('inbound', merging()).hex()}')"
)
HOSPITAL = """
[[source]]
name = "city-his"
listen = "127.0.0.1:2601"
may = ["orders"]
authorities = [{ namespace = "CITY", system = "" }]
"""
TO_FOLDER = """
[[destination]]
name = "city-epic"
kind = "file"
directory = "outbox"
receiver = "generic"
start = 2026-03-01T00:00:00Z
facilities = ["*"]
"""
# A command, and the state of the database in which an operator gives it
STATES: tuple[tuple[str, str], ...] = (
    (r"feed resume .*(?:--leave|--held may-have-been-sent)", IN_DOUBT),
    (r"feed resume .*--chart-corrected", MOVED),
    (r"feed resume .*--held (\S+)", REFUSED),
    (r"feed resume .*--study", REFUSED.replace("{reason}", "refused")),
    (r"feed resume.* --restored", RESTORED),
    (r"feed (?:replay .*--(?:dead-letters|as-sent)|dead-letters)", DEAD),
    (r"feed retire", UNSENT),
    (r"feed backload", HISTORY),
    (r"feed ack (\S+)", ALERT),
    (r"feed (?:withdraw|leave) ", CANCELLED),
    (r"clients (?:disable|enable|rotate) ", CLIENT),
    (r"operators (?:remove|password)", OPERATOR),
    (r"operators sign-out (\S+)", SIGNED_IN),
    (r"orders (?:show|match)", ORDERED),
    (r"orders (?:message|retry|set-aside) (\d+)", HELD),
    (r"patients readmit", "INSERT INTO erased (digest, erased) VALUES ('{marker}', 1)"),
)
# The first line of output that another test compares, since it needs what no site of these tests has
OUTPUT_ELSEWHERE: Mapping[str, str] = {
    "store-unavailable: the database refused the password": "tests/gateway/store/database/test_trouble.py"
}
# Commands of other programs that run in the folder of the project; of `make` all but `help` are expanded, not run
RUN_BELOW = (r"make ", r"grep ")
# Commands that no test can run, by how they begin, and why
NOT_RUN: Mapping[str, str] = {
    r"systemctl ": "needs systemd and a service of this machine",
    r"install -d ": "makes folders of the machine, for the user of the service",
    r"install -m ": "puts the unit file into a folder of the machine",
    r"install -o ": "puts a database of the machine back, for the user of the service",
    r"useradd ": "makes a user of the machine",
    r"chmod ": "changes a file of the machine",
    r"asg\(\) ": "runs commands as the user of the service, with the secrets of the machine",
    r"python3 -m venv /opt": "installs into the machine; pipx does so in a folder of tests/packaging/test_wheel.py",
    r"(?:/opt/autoscribe-gateway/bin/python -m )?pip install ": "installs into the machine, from a package index",
    r"journalctl ": "reads the journal of systemd, which holds the log of the service",
    r"kubectl ": "needs a cluster; tests/docs/test_deployment.py holds the manifests against its schemas",
    r"docker compose ": "needs Docker; tests/packaging/test_dockerfile.py checks the image's file",
    r"date --iso-8601": "writes into a folder of the machine",
    r"cd /var/lib": "is a folder of the machine",
    r"df ": "names a folder of the machine",
    r"smart-fetch ": "tests/clients/test_exported.py runs it, and the query below it",
    r"sqlite3 ": "tests/faults/test_restore_faults.py copies the database by the same backup of SQLite",
    r"rm -f gateway\.db": "tests/faults/test_restore_faults.py removes and copies the same files",
    r"cp copy\.db": "tests/faults/test_restore_faults.py removes and copies the same files",
    r"pg_(?:dump|restore) ": "tests/faults/test_restore_faults.py runs both with the same options",
    r"sha256sum ": "tests/contract/test_body_hash.py compares the hash with the bytes",
    r"\.venv/bin/pytest tests/golden --update-golden": "writes the goldens anew",
    r"(?:GATEWAY|AVARA)_\w+=": "is a line of a file with secrets; check-config reads the same variables in these tests",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatedSite]:
    """A site in the middle of its work."""
    with operated_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(autouse=True)
def usual_logging() -> Iterator[None]:
    """Restore the log of the tests after a command has set its own."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    yield
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


def is_walked(command: Shown) -> bool:
    """Return True if a command stands in a block that a walk runs."""
    return command.is_in_block and (command.document, command.heading) in WALKED


def runs_on(words: Sequence[str]) -> bool:
    """Return True if a command runs until it is stopped."""
    is_subcommand = words[0] == "sandbox" and len(words) > 1 and not words[1].startswith("--")
    return words[0] in LONG_RUNNING and not is_subcommand and "--once" not in words


@dataclass
class Call:
    """A call of the program, the places where the documents show it, and the output that they show."""

    words: list[str]
    places: list[str] = field(default_factory=list)
    output: tuple[str, ...] = ()


def programs() -> Mapping[str, Call]:
    """Return each different call of the program that the documents show."""
    calls: dict[str, Call] = {}
    for command in SHOWN:
        if command.is_program and command.document != GENERATED and not is_walked(command):
            for words in variants(words_of(command)):
                call = calls.setdefault(" ".join(words), Call(words))
                call.places += [command.place]
                call.output = call.output or command.output
    return calls


CALLS = programs()
LOOPS = {"asyncio.unix_events", "uvloop.loop"}  # where the handlers of signals come from
# A server takes long to start: `make test` leaves it to `make test-all`
NAMES = [pytest.param(name, marks=pytest.mark.full if runs_on(call.words) else ()) for name, call in CALLS.items()]


class Terminal(io.StringIO):
    """Standard input of somebody who agrees to whatever is asked, and has the numbers of patients at hand."""

    def isatty(self) -> bool:
        return True


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_a_command_of_the_program_works_as_it_is_shown(
    name: str, site: OperatedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = CALLS[name]
    names = {**site.names, **signed(site, name)}
    arguments = typed(call.words, names, tmp_path, free_port)
    for variable in [one for one in os.environ if one.startswith(("AVARA_", "GATEWAY_"))]:
        monkeypatch.delenv(variable)
    for variable, value in site.copied(tmp_path).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "none" if "--insecure" in call.words else "builtin")
    for folder in ("tests", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    provide(tmp_path, name)
    if name.startswith("receivers rehearse"):
        monkeypatch.setenv("GATEWAY_MAPPING__PROCESSING_ID", "T")
    prepare(tmp_path / "gateway.db", name, " ".join(arguments), names)
    monkeypatch.setattr("sys.stdin", typed_lines(call.words, names))
    with stopped_once_it_runs(arguments), pytest.raises(SystemExit) as ended:
        main.main(arguments)
    out, err = capsys.readouterr()
    places = ", ".join(dict.fromkeys(call.places))
    said = f"{places}: `{name}` was run as `{' '.join(arguments)}` and exits with {ended.value.code}"
    expected = 1 if name.startswith("receivers compare") else 0  # 1: the sample differs
    assert ended.value.code == expected, f"{said}.\n{out[-500:]}{err[-1500:]}\nCorrect the document."
    if not any(call.output[0].startswith(one) for one in OUTPUT_ELSEWHERE if call.output):
        assert lacking(call.output, [*err.splitlines(), *out.splitlines()]) == [], f"{said}, and says:\n{err}{out}"


def typed_lines(words: Sequence[str], names: Mapping[str, str]) -> io.StringIO:
    """Return what an operator types on standard input: a patient, a password, or consent to whatever is asked."""
    if words[0] == "operators":
        return io.StringIO("four words and a number\n")
    if words[:2] == ["patients", "erase"]:
        return io.StringIO(f"{names['patient']}\n")
    asks_for_patients = "--patient" in words or words[:2] == ["audit", "who"]
    return io.StringIO(f"{names['mrn']}\n") if asks_for_patients else Terminal("y\n")


def lacking(documented: Iterable[str], said: Sequence[str]) -> list[str]:
    """Return the documented lines of which no line of a command has the form."""
    return [line for line in documented if not any(re.match(form(line), one) for one in said)]


def form(line: str) -> str:
    """Return the form of a line of output: its words, with any number, instant, id and value."""
    if re.match(r" {4}|  20\d\d-|  setting ", line):  # there are as many as a report has
        return ""
    if label := re.match(r"  (\w+)  +", line):
        return rf"  {label[1]}  +\S"
    words = re.sub(r"\b(?:rep|stu)_[0-9a-f]{32}\b", "\x00", line)
    words = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+", "\x01", words)
    escaped = re.sub(r"\d+", r"\\d+", re.escape(words))
    return escaped.replace("\x00", r"\w+").replace("\x01", r"[\dT:.-]+").replace("…", ".*")


def signed(site: OperatedSite, name: str) -> dict[str, str]:
    """Sign a report in the sandbox, as the commands before this one do; return its ids."""
    if not name.startswith("sandbox "):
        return {}
    made = site.spare.control("POST", "/sign")
    if "uncancel" in name:
        site.spare.control("POST", f"/studies/{made['studyId']}/cancel")
    return {"new_report": made["reportId"], "new_study": made["studyId"]}


def provide(folder: Path, name: str) -> None:
    """Give the site the files and settings that a command needs."""
    settings = folder / "gateway.toml"
    if name.startswith("audit verify --against"):
        (folder / "audit.log").touch()
    if name.startswith("setup"):
        shutil.copy(settings, folder / "answers.toml")
    if name.startswith("orders try"):
        settings.write_text(settings.read_text("utf-8") + HOSPITAL)
        (folder / "order.hl7").write_bytes(ordering())
    if name.startswith("receivers compare"):
        shutil.copy(GOLDEN.with_name("oru.hl7"), folder / "sample.hl7")
    if name.startswith("receivers rehearse"):
        (folder / "outbox").mkdir()
        settings.write_text(settings.read_text("utf-8").partition("[[destination]]")[0] + TO_FOLDER)


def prepare(database: Path, name: str, command: str, names: Mapping[str, str]) -> None:
    """Put the site in the state in which an operator gives this command."""
    with closing(sqlite3.connect(database)) as opened, opened:
        for pattern, statement in STATES:
            if found := re.search(pattern, command):
                group = found[1] if found.groups() else ""
                opened.executescript(statement.format(**names, reason=group, code=group))
                break


@contextmanager
def stopped_once_it_runs(arguments: list[str]) -> Iterator[None]:
    """Interrupt a command that runs until it is stopped, as Ctrl-C does, once its servers answer."""
    if not runs_on(arguments):
        yield
        return
    ended = threading.Event()
    ports = [int(arguments[at + 1]) for at, word in enumerate(arguments) if word.endswith("-port") or word == "--port"]
    watcher = threading.Thread(target=interrupt, args=(ports, ended))
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def interrupt(ports: Sequence[int], ended: threading.Event) -> None:
    """Send Ctrl-C once every port answers and the command waits for it, or after a minute: a timeout cannot end it."""
    until = time.monotonic() + 60

    def is_starting() -> bool:
        return not ended.wait(0.05) and time.monotonic() < until

    for port in ports:
        while is_starting():
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
    # Until its loop has a handler of its own, Ctrl-C would end the command in the middle of its start
    while getattr(signal.getsignal(signal.SIGINT), "__module__", "") not in LOOPS and is_starting():
        pass
    if not ended.is_set():
        os.kill(os.getpid(), signal.SIGINT)


def walk_or_table(command: Shown) -> bool:
    """Return True if a command of another program is run by a walk, or is known not to be run."""
    return (
        is_walked(command)
        or command.text.startswith("curl ")
        or any(re.match(one, command.text) for one in (*RUN_BELOW, *NOT_RUN))
    )


def unproved(commands: Iterable[Shown]) -> list[str]:
    """Return a line for each command that no test runs."""
    return [
        f"{one.place}: `{one.text}` is run by no test. Put its block into a walk of tests/fakes/walks.py, or write it"
        " with a reason into NOT_RUN of tests/docs/test_shown_commands.py."
        for one in commands
        if not (one.is_program or walk_or_table(one))
    ]


def test_every_command_that_a_document_shows_is_run_or_known_not_to_be() -> None:
    assert unproved(SHOWN) == []


def test_a_command_that_no_test_runs_is_named_with_its_place_and_what_to_do() -> None:
    new = Shown("docs/new.md", 7, "frobnicate --all", "New", is_in_block=True)
    [line] = unproved([new])
    assert line.startswith("docs/new.md:7: `frobnicate --all` is run by no test. Put its block into a walk of ")


def test_every_row_of_the_tables_is_needed() -> None:
    others = [one.text for one in SHOWN if not one.is_program]
    assert [row for row in (*RUN_BELOW, *NOT_RUN) if not any(re.match(row, text) for text in others)] == []
    shown_output = [call.output[0] for call in CALLS.values() if call.output]
    assert [row for row in OUTPUT_ELSEWHERE if not any(line.startswith(row) for line in shown_output)] == []
    assert all((ROOT / test).exists() for test in OUTPUT_ELSEWHERE.values())
    assert [row for row, _ in STATES if not any(re.search(row, " ".join(call.words)) for call in CALLS.values())] == []


def test_every_command_of_the_program_is_shown_at_work_by_a_document() -> None:
    calls = [re.sub(r"^.*?autoscribe-gateway ", "", one.text) for one in SHOWN if one.document != GENERATED]
    assert leaves() - {" ".join(command_of(call.split())[0]) for call in calls} == set()


@pytest.mark.parametrize("row", RUN_BELOW)
def test_a_command_of_this_folder_ends_without_a_fault(row: str) -> None:
    for command in [one for one in SHOWN if re.match(row, one.text) and not one.is_program]:
        words = shlex.split(command.text, comments=True)
        dry = ["--dry-run"] if words[0] == "make" and words[1] != "help" else []
        done = subprocess.run([*words, *dry], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command.place}: `{command.text}` ends with {done.returncode}: {done.stderr}"


def test_a_documented_line_of_output_that_no_command_says_is_found() -> None:
    said = ["--from is 2026-01-01T00:00:00-05:00 (America/New_York)", "city-epic would be sent 19 messages"]
    assert (
        lacking(["--from is 2020-02-02T00:00:00-04:00 (America/New_York)", "city-epic would be sent 1 messages"], said)
        == []
    )
    assert lacking(["city-epic was sent 19 messages", "  value     DOE"], said) == [
        "city-epic was sent 19 messages",
        "  value     DOE",
    ]
