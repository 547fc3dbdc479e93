"""Check arguments of the feed commands, ask for consent before sending, and print answers as lines or JSON.

https://www.rfc-editor.org/rfc/rfc3339#section-5.6 (with an offset), https://peps.python.org/pep-0495/ (local times that
a clock change skips or repeats); decisions D37, D39. An instant is a day or a local time in the site's zone, or a time
with an offset. An ambiguous time is an error, never a guess. A script cannot be asked for consent and passes `--yes`.
Proved by tests/gateway/cli/test_feed.py and tests/gateway/feed/operator/test_preview.py.
"""

from __future__ import annotations

import json
import re
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any, Final

from gateway.routing import Destination, routes_of
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant_text, micros
from gateway.store.feed.outbox import ToSend
from mappings.patient.identifiers import upstream_id
from mappings.values.dates import parse_instant

_FORM: Final = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"([T ](?P<minute>\d{2}:\d{2})(?P<second>:\d{2}(\.\d{1,6})?)?\s?(?P<offset>Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_SUCH_AS: Final = "Write a day or a time, such as 2026-03-01, 2026-03-01 14:30 or 2026-03-01T14:30:00-05:00."


def typed_instant(option: str, text: str, zone: tzinfo) -> datetime:
    """Read an instant from an option; without an offset it is local in that zone, and a day means its start.

    The instant as understood is printed on stderr.

    Raises:
        ConfigError: it is not an instant, or a clock change in the zone skips or repeats it.
    """
    match = _FORM.fullmatch(text.strip())
    moment = None
    if match is not None:
        moment = _with_offset(match) if match["offset"] else _local(option, match, zone)
    if moment is None:
        raise ConfigError("command line", option, "neither a day nor a time that a calendar has", _SUCH_AS)
    sys.stderr.write(f"{option} is {moment.astimezone(zone).isoformat()} ({zone})\n")
    return moment


def _with_offset(match: re.Match[str]) -> datetime | None:
    return parse_instant(f"{match['day']}T{match['minute']}{match['second'] or ':00'}{match['offset']}")


def _local(option: str, match: re.Match[str], zone: tzinfo) -> datetime | None:
    """Return the instant of a local time in the zone; None if it is not a valid date and time.

    Raises:
        ConfigError: a clock change skips or repeats that time.
    """
    text = f"{match['day']}T{match['minute'] or '00:00'}{match['second'] or ':00'}"
    try:
        local = datetime.fromisoformat(text)
        first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except (ValueError, OverflowError):
        return None
    if first == second:
        return first
    readings = [one.astimezone(zone) for one in sorted((first, second))]
    is_repeated = all(one.replace(tzinfo=None) == local for one in readings)
    problem = f"the clocks of {zone} {'show' if is_repeated else 'skip'} {text.replace('T', ' ')}"
    problem += " twice on that day" if is_repeated else ": that local time does not exist"
    raise ConfigError("command line", option, problem, f"Write {' or '.join(one.isoformat() for one in readings)}.")


# Gets the addresses of the resources, and the ids of the patients, that a command is about to show
Shows = Callable[[Collection[str], Collection[str]], None]
Say = Callable[[str], object]
LEFT_OUT: Final = {"is_left_out": True}  # metadata of a field that is not in the JSON while it is None
_SOURCE: Final = "command line"
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, tzinfo=UTC)


def unnoted(_: Collection[str], __: Collection[str]) -> None:
    """Note nothing: stands in for the audit where none is kept."""


def wrong(argument: str, problem: str, remedy: str) -> ConfigError:
    """Build the error about a command's argument."""
    return ConfigError(_SOURCE, argument, problem, remedy)


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Span of time from one instant, inclusive, to another, exclusive; both in microseconds."""

    since: int
    until: int

    def __str__(self) -> str:
        first = "the beginning" if self.since == micros(_BEGINNING) else instant_text(self.since)
        return f"{first} to {'now' if self.until == micros(_END) else instant_text(self.until)}"


EVER: Final = TimeSpan(micros(_BEGINNING), micros(_END))


def destination_named(configuration: Configuration, name: str, *, enabled: bool = True) -> Destination:
    """Find the destination of that name in the settings.

    Raises:
        ConfigError: there is none, `enabled` is required and it is not, or the settings are wrong.
    """
    known = {one.name: one for one in routes_of(configuration).destinations}
    if name not in known:
        names = ", ".join(known) or "none: write a [[destination]] table"
        raise wrong(name, "no destination has this name", f"Destinations are {names}.")
    if enabled and not known[name].is_enabled:
        key = f"{known[name].place}.enabled"
        raise ConfigError(configuration.source, key, "false: nothing is queued for it", "Write true, and try again.")
    return known[name]


def destinations_named(configuration: Configuration, name: str | None, *, enabled: bool = True) -> list[Destination]:
    """Find the destination of that name, or return all without a name; with `enabled`, only those enabled.

    Raises:
        ConfigError: there is none, `enabled` is required and it is not, or the settings are wrong.
    """
    if name is not None:
        return [destination_named(configuration, name, enabled=enabled)]
    return [one for one in routes_of(configuration).destinations if one.is_enabled or not enabled]


def needed_reason(reason: str) -> str:
    """Return a reason that is required.

    Raises:
        ConfigError: it is blank.
    """
    if not reason.strip():
        raise wrong("--reason", "blank", "Write who decided it, and why: the audit trail keeps it.")
    return reason


def counted(number: int, thing: str) -> str:
    """Return a count with its noun, such as `2 studies`."""
    if number == 1:
        return f"1 {thing}"
    return f"{number} {thing[:-1]}ies" if thing.endswith("y") else f"{number} {thing}s"


def id_of(text: str) -> str:
    """Return an AutoScribe id; accepts an id in its FHIR form too (`stu-…`)."""
    return upstream_id(text) or text


def span_of(since: str | None, until: str | None, zone: tzinfo) -> TimeSpan:
    """Return the span between two instants as typed; None means without a bound.

    Raises:
        ConfigError: one is not an instant, or does not exist in the zone, or the second is not after the first.
    """
    first = typed_instant("--from", since, zone) if since is not None else _BEGINNING
    last = typed_instant("--to", until, zone) if until is not None else _END
    if first >= last:
        raise wrong("--to", "not after --from", "Write the earlier instant first.")
    return TimeSpan(micros(first), micros(last))


def numbers_of(patient: str, beside: str) -> tuple[str, ...]:
    """Return the patient numbers: from standard input, one a line, if `patient` is `-`; else none.

    Raises:
        ConfigError: the option holds a number itself, nothing is chosen, or more than one thing is.
    """
    if bool(patient) is bool(beside):
        problem = "more than one thing is chosen" if patient else "nothing is chosen"
        raise wrong("--patient", problem, "Write an MSH-10, a report, an accession number, or --patient -.")
    if not patient:
        return ()
    if patient != "-":
        remedy = "Write `--patient -`, and the numbers to standard input, a line each."
        raise wrong("--patient", "a number here is kept by the shell and seen by all users of the machine", remedy)
    if sys.stdin.isatty():
        sys.stderr.write("numbers of patients, a line each; Ctrl-D ends them\n")
    numbers = tuple(line.strip() for line in sys.stdin if line.strip())
    if not numbers:
        raise wrong("--patient", "no number came", "Write the numbers to standard input, a line each.")
    return numbers


class CommandAnswer:
    """Answer of a command as data, printed as lines or JSON. Fields of the subclass are the JSON, in their order.

    The metadata of a field may name its `key` there; else that is its name in camelCase.
    """

    __slots__ = ()

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 0 done, 1 something is open, refused or not found."""
        return 0

    @property
    def document(self) -> Any:
        """The answer as JSON values."""
        return json_of(self)

    def json_lines(self) -> Iterable[str]:
        """Return the lines of the JSON."""
        return [json.dumps(self.document, indent=2)]

    def lines(self) -> Iterable[str]:
        """Return the lines for a person."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class RefusedCommand(CommandAnswer):
    """Answer of a refused command, or of one that found nothing: sentences, even where JSON was asked for."""

    sentences: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Always 1."""
        return 1

    def json_lines(self) -> Iterable[str]:
        """Return the sentences."""
        return self.sentences

    def lines(self) -> Iterable[str]:
        """Return the sentences."""
        return self.sentences


def say_answer(answer: CommandAnswer, say: Say, *, as_json: bool = False) -> int:
    """Print an answer, and return the command's exit code."""
    for line in printed(answer, as_json=as_json):
        say(line)
    return answer.exit_code


def printed(answer: CommandAnswer, *, as_json: bool = False) -> Iterable[str]:
    """Return the text that a command prints for an answer."""
    return answer.json_lines() if as_json else answer.lines()


def json_of(value: Any) -> Any:
    """Convert a value of an answer to JSON: names in camelCase, instants as FHIR writes them, bytes in Base64."""
    if isinstance(value, datetime):
        return at(value)
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: json_of(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_of(one) for one in value]
    return _members(value) if is_dataclass(value) else value


def _members(value: Any) -> Any:
    if (said := getattr(value, "said", None)) is not None:
        return said
    members = ((one, getattr(value, one.name)) for one in fields(value))
    return {
        one.metadata.get("key") or _camel(one.name): json_of(member)
        for one, member in members
        if member is not None or not one.metadata.get("is_left_out")
    }


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return "".join([first, *(one.capitalize() for one in others)])


def at(moment: datetime) -> str:
    """Write an instant as FHIR does, in UTC with six digits."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


@dataclass(frozen=True, slots=True)
class Consent:
    """Consent that the operator gave with the command: only count (`dry_run`), or send without a question (`yes`)."""

    dry_run: bool = False
    yes: bool = False

    @property
    def is_given(self) -> bool:
        """True if the command may send without a question."""
        return self.yes and not self.dry_run


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Messages that a command would send, with sentences about others; `is_refused` if it must not send some.

    `studies` are those that it chose, each with its reports: no others are sent once the operator agreed. `agreed` is
    what the operator agrees to where that is not the number: more may wait by then.
    """

    amount: ToSend
    notes: tuple[str, ...] = ()
    is_refused: bool = False
    studies: Mapping[str, frozenset[str] | None] | None = None
    agreed: str | None = None


@dataclass(frozen=True, slots=True)
class SendingAct:
    """Command that sends messages to a destination: `foresee` counts them, `act` sends them.

    If the studies were chosen before the operator agreed, `act` takes them as `studies`.
    """

    name: str
    foresee: Callable[[Engine], Awaitable[Foreseen | RefusedCommand]]
    act: Callable[..., Awaitable[CommandAnswer]]


async def act_if_agreed(configuration: Configuration, sending: SendingAct, consent: Consent, say: Say) -> int:
    """Show what a command would send, send it if the operator agrees, and print the answer; return the exit code.

    Raises:
        ConfigError: there is something to send, no consent was given, and there is no terminal to ask on.
        StoreUnavailable: the store cannot be reached.
    """
    from gateway.ingest.assembly import store_for_command

    act = sending.act
    destination_named(configuration, sending.name, enabled=False)  # before the store is opened, which may make its file
    async with store_for_command(configuration, writes=not consent.dry_run) as engine:
        if not consent.is_given:
            foreseen = await sending.foresee(engine)
            if isinstance(foreseen, RefusedCommand):
                return say_answer(foreseen, say)
            if not is_agreed(foreseen.amount, sending.name, consent, say):
                for note in foreseen.notes:
                    say(note)
                return int(foreseen.is_refused or not consent.dry_run)
            if foreseen.studies is not None:
                act = partial(act, studies=foreseen.studies)
        answer = await act(engine)
    return say_answer(answer, say)


def is_agreed(amount: ToSend, name: str, consent: Consent, say: Say) -> bool:
    """Print what a destination would be sent, and ask; True if it is to be sent.

    No question is asked if there is nothing to send.

    Raises:
        ConfigError: there is something to send, no consent was given, and there is no terminal to ask on.
    """
    if amount.messages or consent.dry_run:
        say(would_be_sent(name, amount))
    if consent.dry_run:
        say("nothing is sent: --dry-run")
        return False
    if not amount.messages:
        return True
    if not sys.stdin.isatty():
        problem = "missing, and there is no terminal to ask on: nothing is sent"
        raise wrong("--yes", problem, "See what --dry-run says, then write --yes.")
    sys.stderr.write("Send it? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    say("nothing is sent")
    return False


def would_be_sent(name: str, amount: ToSend) -> str:
    """Return the sentence about what a destination would be sent."""
    return f"{name} would be sent {in_words(amount) if amount.messages else 'nothing'}"


def in_words(amount: ToSend) -> str:
    """Describe the amount: `12 messages at least (14 reports of 12 studies), 2 critical, signed … to …`."""
    text = counted(amount.messages, "message")
    if amount.reports:
        text += f" at least ({counted(amount.reports, 'report')} of {counted(amount.studies, 'study')})"
    text += f", {amount.critical} critical"
    if amount.oldest is None or amount.newest is None:
        return text
    return f"{text}, signed {instant_text(amount.oldest)} to {instant_text(amount.newest)}"
