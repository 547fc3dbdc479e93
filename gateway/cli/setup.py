"""`autoscribe-gateway setup`: write a site's first settings from answers and AutoScribe, check them, try one message.

AutoScribe REST API: `GET /studies`, `/reports`, `/users`. Decisions D9, D11, D15. Nothing is overwritten: of a
file that is there the difference is shown. A key goes from a hidden question, the answers or the environment into a
file of its own, and into nothing else.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from getpass import getpass
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from gateway.checks.config import faults
from gateway.checks.doctor.advice import quoted, strangers
from gateway.checks.doctor.seen import Seen
from gateway.checks.doctor.site_file import site_file
from gateway.checks.online import read_account
from gateway.cli.check_config import say_check
from gateway.cli.keys import new_site_key
from gateway.feed.operator.arguments import Say, counted, wrong
from gateway.mllp.connection import Connection, Endpoint
from gateway.routing import Destination, routes_of
from gateway.routing.preview import Preview, PreviewRequest, delivery, preview
from gateway.runtime import clock
from gateway.runtime.command_words import CONFIG_VARIABLE
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import configure
from gateway.runtime.own_file import flush_folder, open_private
from gateway.sandbox.receiver import MllpReceiver
from gateway.settings import Configuration, every_row, load, survey
from gateway.settings.values import time_zone
from mappings import decode
from mappings.hl7v2.judge import judge_message
from mappings.hl7v2.received import read
from mappings.issues import WireError
from mappings.model import Facts, Study
from mappings.profile import NAME_ORDERS, Site

_BASE_URL: Final = "AVARA_BASE_URL"
_API_KEY: Final = "AVARA_API_KEY"
_SITE_KEY: Final = "GATEWAY_MAPPING__SITE_KEY"
# Variable of a key -> its section and setting, and its file beside the settings
_KEYS: Final = {_API_KEY: ("upstream", "api_key", "autoscribe.key"), _SITE_KEY: ("mapping", "site_key", "site.key")}
_SECRETS: Final = {row.key for row in every_row() if row.type == "secret"}
_SECRET_LINE: Final = re.compile(rf"\b({'|'.join(sorted({one.rpartition('.')[2] for one in _SECRETS}))})\b *=.*")


async def set_up(path: Path | None, answers: Path | None, say: Say, say_aside: Say) -> int:
    """Write settings and keys, check them online, and send a message to an own listener; return the exit code.

    Settings that are there are the answers, if no others are given.

    Raises:
        ConfigError: an answer is wrong, there is no API key, or a file cannot be written.
        UpstreamError: AutoScribe cannot be read. Nothing is written then.
    """
    config = (path or Path(os.environ.get(CONFIG_VARIABLE) or "gateway.toml")).absolute()
    _use_keys(config)
    source = answers or (config if config.exists() else None)
    for problem in survey(source)[1] if source else ():
        raise problem
    given = tomllib.loads(source.read_text("utf-8-sig")) if source else {}
    keys = _keys(given, str(answers)) if source != config else {}
    os.environ.update(keys)
    configuration = load(source or Path(os.devnull))
    configure(configuration.settings.log.level, configuration.settings.log.format)
    seen, signed, users = await read_account(configuration, most=1_000)
    for line in _found(seen, users, configuration.site):
        say(line)
    if source != config:
        given = _usual(given if source else _asked(seen))
    text = site_file(given, seen, configuration)
    for variable, key in keys.items():
        _write(config.with_name(_KEYS[variable][2]), f"{key}\n", say)
    _write(config, text, say)
    _write(config.with_name("environment"), _use_keys(config), say)
    say(f"a shell uses them after: set -a; . {shlex.quote(str(config.with_name('environment')))}; set +a")
    if faults(config):
        return await say_check(config, say, say_aside, is_online=False)
    code = await say_check(config, say, say_aside, is_online=True)
    return max(code, await send_first(load(config), list(_decoded(signed, users)), say))


def _is_set(variable: str) -> bool:
    return bool(os.environ.get(variable) or os.environ.get(f"{variable}_FILE"))


def _use_keys(config: Path) -> str:
    """Let this process use the key files beside the settings; return the variables that a service needs for it."""
    named: dict[str, object] = {CONFIG_VARIABLE: config, _BASE_URL: os.environ.get(_BASE_URL)}
    for variable, (_, _, file) in _KEYS.items():
        if (key := config.with_name(file)).exists():
            named[f"{variable}_FILE"] = key
            if not _is_set(variable):
                os.environ[f"{variable}_FILE"] = str(key)
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in named.items() if value)


def _keys(given: dict[str, Any], source: str) -> dict[str, str]:
    """Take the keys out of the answers, ask for the API key, and make the site key, unless they are there.

    Raises:
        ConfigError: an answer is another secret, or there is no API key.
    """
    keys: dict[str, str] = {}
    for variable, (section, name, _) in _KEYS.items():
        if (value := given.get(section, {}).pop(name, None)) and not _is_set(variable):
            keys[variable] = str(value).strip()
    for place, value in _secrets(given):
        if place != "database.url" or "@" in value:
            remedy = "Set its variable, or name a file in the variable with _FILE at its end."
            raise ConfigError(source, place, "a secret, and setup writes none into the settings", remedy)
    if _API_KEY not in keys and not _is_set(_API_KEY):
        keys[_API_KEY] = _ask("API key of AutoScribe, with the study scope All", getpass)
        if not keys[_API_KEY]:
            raise wrong("setup", "no API key", f"Type it, or name a file that holds it in {_API_KEY}_FILE.")
    if _SITE_KEY not in keys and not _is_set(_SITE_KEY):
        keys[_SITE_KEY] = new_site_key()
    return keys


def _secrets(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the place and the value of each secret in settings."""
    for key, value in table.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from _secrets(one, f"{path}{key}.")
            elif f"{path}{key}" in _SECRETS:
                yield f"{path}{key}", str(one)


def _usual(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers with a login, a place of the database, and destinations that send nothing yet."""
    filled = dict(given)
    if not _is_set("GATEWAY_DATABASE_URL"):
        url = f"sqlite:///{Path('gateway.db').absolute()}"
        filled["database"] = {"url": url} | given.get("database", {})
    filled["auth"] = {"mode": "builtin"} | given.get("auth", {})
    if destinations := given.get("destination"):
        filled["destination"] = [one if "dry_run" in one else one | {"dry_run": True} for one in destinations]
    return filled


def _write(path: Path, text: str, say: Say) -> None:
    """Write a new file, for its owner only; of settings that are there show the difference, without secrets.

    Raises:
        ConfigError: the file cannot be written or read.
    """
    try:
        if not path.exists():
            with os.fdopen(open_private(path, os.O_WRONLY | os.O_EXCL), "w", encoding="utf-8") as file:
                file.write(text)
            flush_folder(path)
            say(f"written: {path}{', a secret: keep a copy where you keep secrets' if path.suffix == '.key' else ''}")
            return
        before = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        problem = f"cannot be written ({os.strerror(error.errno or 0)})"
        raise ConfigError(str(path), "the file", problem, "Name another place with --config.") from None
    differences = [f"+{line}" for line in text.splitlines() if line not in before]
    if path.suffix == ".toml":
        differences = [*difflib.unified_diff(before, text.splitlines(), "is there", "would be written", lineterm="")]
    say(f"not overwritten: {path}{', which differs:' if differences else ', where all is as it would be written'}")
    for line in differences:
        say(_SECRET_LINE.sub(r"\1 = **********", line))


def _found(seen: Seen, users: Sequence[Mapping[str, Any]], site: Site) -> Iterator[str]:
    """Yield the facilities, keys of patient numbers and doctors in AutoScribe, with what it does not know of them."""
    yield f"AutoScribe has, in its first {counted(len(seen.studies), 'study')}:"
    for key, spellings in sorted(seen.facilities.items(), key=lambda one: -one[1].total()):
        known = site.facilities.get(key)
        place = f"facility {quoted(spellings.most_common(1)[0][0])}" if key else "no facility"
        zone = known.time_zone.key if known and known.time_zone else "not known"
        whose = known.mrn.namespace if known and known.mrn else "not known"
        numbers = f"{seen.numbers[key]} with an MRN (authority: {whose})"
        yield f"  {place}: {counted(spellings.total(), 'report')}, {numbers}, time zone: {zone}"
    for customer, count in seen.outside.items():
        yield f"  express customer {quoted(customer)}: {counted(count, 'study')} with an externalPatientId"
    for user in filter(itemgetter("canCreateReports"), users):
        names = [user.get(part) for part in ("firstName", "middleName", "lastName", "suffix1", "suffix2")]
        name, npi = " ".join(filter(None, names)), user.get("npiNumber") or "not known"
        yield f"  doctor {user['userId']} {quoted(name)}, NPI {quoted(npi)}"


def _asked(seen: Seen) -> dict[str, Any]:
    """Ask what only the site knows, and return the answers; an empty one is not known, and not written."""
    mapping = _filled("", {"sending_facility": ("name of your site in messages, MSH-4", str)})
    answered = {name: _filled(f"{name}: ", _OF_A_FACILITY) for name, _ in strangers(seen, Site())}
    tables = [{"name": name} | one for name, one in answered.items() if one]
    return {"mapping": mapping | {"facilities": tables}}


def _filled(place: str, questions: Mapping[str, tuple[str, Callable[[str], object]]]) -> dict[str, Any]:
    """Ask each question until its answer is right or empty, and return the answers that are not empty."""
    answers: dict[str, Any] = {}
    for key, (words, check) in questions.items():
        problem = ""
        while answer := _ask(f"{problem}{place}{words} (Enter: not known)"):
            try:
                answers[key] = check(answer)
                break
            except ValueError as error:
                problem = f"{error}; "
    return answers


def _ask(question: str, hidden: Callable[[str], str] | None = None) -> str:
    """Return what is typed, on a terminal without showing it if it is `hidden`; empty at the end of the input."""
    if hidden is not None and sys.stdin.isatty():
        return hidden(f"{question}: ").strip()
    sys.stderr.write(f"{question}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _one_like(pattern: str, such: str, answer: str) -> str:
    if not re.fullmatch(pattern, answer):
        raise ValueError(f"not {such}")
    return answer


_ORDERS: Final = ", ".join(NAME_ORDERS)
_OF_A_FACILITY: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "time_zone": ("time zone, such as America/New_York", time_zone),
    "name_order": (f"order of names: {_ORDERS}", partial(_one_like, "|".join(NAME_ORDERS), f"one of {_ORDERS}")),
    "mrn_namespace": ("namespace of its patient numbers, PID-3.4", str),
    "mrn_system": ("URI of its patient numbers, such as urn:oid:1.2.3", partial(_one_like, r"\w+:\S+", "a URI")),
}


def _decoded(signed: Sequence[Mapping[str, Any]], users: Sequence[Mapping[str, Any]]) -> Iterator[Study]:
    for study in signed:
        with suppress(WireError):
            yield decode(study, study["reports"], users)


async def send_first(configuration: Configuration, studies: Sequence[Study], say: Say) -> int:
    """Send a message for each receiver to a listener of this process, and return the exit code.

    Without a receiver there is one message, by the profile `generic`. Nothing of a message is printed.
    """
    destinations: list[Destination | None] = [one for one in routes_of(configuration).destinations if one.is_enabled]
    code = 0
    async with MllpReceiver(port=0) as listener:
        for destination in destinations or [None]:
            name = destination.name if destination else "generic"
            first = _first_message(studies, configuration.site, destination)
            if isinstance(first, str):
                say(f"{name}: no message of any signed report: {first or 'none is there'}")
                code = max(code, int(bool(first)))
            else:
                code = max(code, await _sent(*first, name, listener, say))
    return code


def _first_message(studies: Sequence[Study], site: Site, destination: Destination | None) -> tuple[str, Preview] | str:
    """Return the first report that the receiver would get, signed at any time, and its message; else the reasons."""
    reasons: dict[str, None] = {}
    own = destination.site(site) if destination else site
    receiver = destination.receiver if destination else site.receiver("generic")
    for study in studies:
        for report in study.completed:
            asked = PreviewRequest(study, Facts(), report.report_id)
            made = preview(asked, own, receiver, clock.now())
            reason = next((f"held {one.code}" for one in made.against if one.severity == "error"), "")
            if destination is not None:
                state = delivery(asked, made, replace(destination, start=datetime.min.replace(tzinfo=UTC)))
                reason = "" if state.state in {"queued", "recorded"} else f"{state.state} {state.reason}".strip()
            if made.messages and not reason:
                return report.report_id, made
            reasons[reason or "nothing"] = None
    return ", ".join(reasons)


async def _sent(report_id: str, made: Preview, name: str, listener: MllpReceiver, say: Say) -> int:
    """Send a message, say the answer and what the mapping notes, and return 1 if one of the two is not good."""
    message = made.messages[0]
    async with await Connection.open(Endpoint(listener.host, listener.port)) as connection:
        answer = read(await connection.exchange(message))
    code = next((one.field(1) for one in answer.segments if one.name == "MSA"), "no answer")
    broken = judge_message(message)
    found = f"{code}, {len(broken) or 'no'} faults found"
    say(f"{name}: ORU^R01 of {report_id} to a listener at port {listener.port}: {found}")
    noted = [*broken, *(one for one in made.issues if one.severity != "information")]
    for line in dict.fromkeys(f"  {one.code}: {one.action}" for one in noted):
        say(line)
    return int(code != "AA" or bool(broken))
