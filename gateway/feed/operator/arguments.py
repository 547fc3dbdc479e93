"""Read the arguments of operators' commands, and print their answers: lines for a person, or JSON for a program.

https://hl7.org/fhir/R4/datatypes.html#instant; decision D49. A command's function only computes its answer, a frozen
dataclass. The command prints it by `say_answer`; a page can show the same answer.
Proved by tests/gateway/cli/test_feed.py and tests/gateway/cli/test_answers.py.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from gateway.feed.operator.typed_instant import typed_instant
from gateway.routing import Destination, routes_of
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration
from gateway.store.database.engine import instant_text, micros
from mappings.patient.identifiers import upstream_id

# Gets the addresses of the resources, and the ids of the patients, that a command is about to show
Shows = Callable[[Collection[str], Collection[str]], None]
Say = Callable[[str], object]
LEFT_OUT: Final = {"is_left_out": True}  # metadata of a field that is not in the JSON while it is None
_SOURCE: Final = "command line"
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, tzinfo=UTC)


def unnoted(_: Collection[str], __: Collection[str]) -> None:
    """Note nothing of what a command shows."""


def wrong(argument: str, problem: str, remedy: str) -> ConfigError:
    """Return the error about an argument of a command."""
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
    """Return the destination of that name.

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
    """Return the destination of that name, or all without a name; with `enabled`, only those that are.

    Raises:
        ConfigError: there is none, `enabled` is required and it is not, or the settings are wrong.
    """
    if name is not None:
        return [destination_named(configuration, name, enabled=enabled)]
    return [one for one in routes_of(configuration).destinations if one.is_enabled or not enabled]


def counted(number: int, thing: str) -> str:
    """Return a count with its noun, such as `2 studies`."""
    if number == 1:
        return f"1 {thing}"
    return f"{number} {thing[:-1]}ies" if thing.endswith("y") else f"{number} {thing}s"


def id_of(text: str) -> str:
    """Return an AutoScribe id; accepts an id in its FHIR form too (`stu-…`)."""
    return upstream_id(text) or text


def span_of(since: str | None, until: str | None, zone: tzinfo) -> TimeSpan:
    """Return the span between two typed instants; without a bound where one is None.

    Raises:
        ConfigError: one is not an instant, or does not exist in the zone, or the second is not after the first.
    """
    first = typed_instant("--from", since, zone) if since is not None else _BEGINNING
    last = typed_instant("--to", until, zone) if until is not None else _END
    if first >= last:
        raise wrong("--to", "not after --from", "Write the earlier instant first.")
    return TimeSpan(micros(first), micros(last))


def numbers_of(patient: str, beside: str) -> tuple[str, ...]:
    """Read patient numbers from standard input, one a line, if `patient` is `-`.

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
    """Answer of a command as data. A subclass is a dataclass; its fields are the JSON, in their order.

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
    """Sentences why a command is refused, or that there is nothing to answer; also where JSON was asked for."""

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
    """Print an answer, and return the exit code of its command."""
    for line in printed(answer, as_json=as_json):
        say(line)
    return answer.exit_code


def printed(answer: CommandAnswer, *, as_json: bool = False) -> Iterable[str]:
    """Return what a command prints of an answer."""
    return answer.json_lines() if as_json else answer.lines()


def json_of(value: Any) -> Any:
    """Return a value of an answer as JSON: names in camelCase, instants as FHIR writes them, bytes in Base64."""
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
    """Return an instant as FHIR writes it, in UTC with six digits."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
