"""Parse the `listen --ack` option, and choose which behavior of manners.py the test receiver shows each time.

HL7 v2.5.1 §2.5 (field names such as PID-3); the rest is our own. `SPEC = PART *("," PART)`, `PART = NAME *(":"
SETTING)`. A setting is a COUNT (the most times), `rate=` (0 to 1) with `seed=`, `SEG-n=` (only messages in which the
field has this value), or an option of the manner. The first part that strikes decides; if none does, the message is
accepted. Examples: `ar:3`, `ae:PID-3=123`, `slow:rate=0.1:seed=7:seconds=40`, `ar:2,close:1`. `random:SEED` draws from
all manners at `rate` 0.5 by default; `seconds=` then applies to all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.runtime.errors import ConfigError
from gateway.sandbox.dice import Dice
from gateway.sandbox.manners import MANNERS, Manner
from mappings.hl7v2.received import Received, Unreadable, read

RANDOM: Final = "random"
RANDOM_RATE: Final = 0.5
_COMMON: Final = ("rate", "seed", "SEG-n")
_SOURCE: Final = ("receiver", "ack")
_FIELD: Final = re.compile(r"([A-Z][A-Z0-9]{2})-([1-9][0-9]?)")
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")

Moment = Literal["connection", "message"]


def _every(_: bytes) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ChosenManner:
    """A chosen manner with its options."""

    manner: Manner
    options: Mapping[str, float]


ACCEPT: Final = ChosenManner(MANNERS["aa"], {})


@dataclass(frozen=True, slots=True)
class PlanPart:
    """One part of a plan: one of the manners strikes, at most `times` times, each time with probability `rate`.

    `where` filters messages by content; it does not apply to manners that act on connections. `options` override the
    manners' own options.
    """

    manners: tuple[Manner, ...]
    times: int | None = None
    rate: float = 1.0
    seed: int = 1
    where: Callable[[bytes], bool] = _every
    options: Mapping[str, float] = field(default_factory=dict)

    def of(self, moment: Moment) -> tuple[Manner, ...]:
        """Return the manners of the part that act at this moment."""
        return tuple(manner for manner in self.manners if (manner.act is None) == (moment == "connection"))


class MannerPlan:
    """Plan that chooses manners, repeatably; `about` describes it in a line."""

    def __init__(self, parts: Sequence[PlanPart], about: str = "") -> None:
        self.parts = tuple(parts)
        self.about = about or ", ".join(part.manners[0].about for part in parts)
        self._struck = [0] * len(self.parts)
        self._dice = [
            {moment: Dice(part.seed, "manner", number, moment) for moment in ("connection", "message")}
            for number, part in enumerate(self.parts)
        ]

    @property
    def calls(self) -> bool:
        """True if a manner named in the plan must open connections to the sender; a mixture can do without."""
        return any(part.manners[0].calls for part in self.parts if len(part.manners) == 1)

    def connected(self) -> ChosenManner | None:
        """Choose the manner for a new connection, if any."""
        return self._next("connection", b"")

    def received(self, payload: bytes) -> ChosenManner:
        """Choose the manner for this message."""
        return self._next("message", payload) or ACCEPT

    def _next(self, moment: Moment, payload: bytes) -> ChosenManner | None:
        for number, part in enumerate(self.parts):
            manners, dice = part.of(moment), self._dice[number][moment]
            spent = part.times is not None and self._struck[number] >= part.times
            # Scale the rate so that all manners of a part are equally likely, at whichever moment they act.
            rate = part.rate * len(manners) / len(part.manners)
            if not manners or spent or not part.where(payload) or not dice.chance(rate):
                continue
            self._struck[number] += 1
            manner = dice.pick(manners)
            given = {key: value for key, value in part.options.items() if key in manner.options}
            return ChosenManner(manner, {**manner.options, **given})
        return None


def plan_of(ack: str | Manner | MannerPlan) -> MannerPlan:
    """Return a plan: the given one, one from a single manner, or one parsed from a SPEC.

    Raises:
        ConfigError: the text is no valid SPEC.
    """
    if isinstance(ack, MannerPlan):
        return ack
    return MannerPlan((PlanPart((ack,)),)) if isinstance(ack, Manner) else parse_ack(ack)


def parse_ack(spec: str) -> MannerPlan:
    """Parse a SPEC.

    Raises:
        ConfigError: a part is wrong; the error names it and its remedy.
    """
    parts = [_part(text.strip()) for text in spec.split(",")]
    return MannerPlan(parts, "" if spec in MANNERS else spec)


def _part(text: str) -> PlanPart:
    name, *settings = text.split(":")
    if name != RANDOM and name not in MANNERS:
        raise ConfigError(*_SOURCE, f"{text}: no such answer", f"Name one of {', '.join(MANNERS)}, {RANDOM}.")
    counts = [int(setting) for setting in settings if setting.isascii() and setting.isdecimal()]
    given = dict(_pair(setting, text) for setting in settings if not (setting.isascii() and setting.isdecimal()))
    if len(counts) > 1:
        raise ConfigError(*_SOURCE, f"{text}: two counts", f"Write one, such as {name}:3.")
    if name == RANDOM:
        return _mixture(counts, given, text)
    manner = MANNERS[name]
    rate, seed, where = _rate(given, text, 1.0), _seed(given, text), _where(given, manner, text)
    options = _options(given, tuple(manner.options), text)
    return PlanPart((manner,), counts[0] if counts else None, rate, seed, where, options)


def _mixture(counts: Sequence[int], given: dict[str, str], text: str) -> PlanPart:
    """Build a part of all manners except the plain accept."""
    manners = tuple(manner for name, manner in MANNERS.items() if name != "aa")
    keys = sorted({key for manner in manners for key in manner.options})
    seed = counts[0] if counts else _seed(given, text)
    rate = _rate(given, text, RANDOM_RATE)
    return PlanPart(manners, rate=rate, seed=seed, options=_options(given, keys, text))


def _pair(setting: str, text: str) -> tuple[str, str]:
    key, _, value = setting.partition("=")
    if not value:
        raise ConfigError(*_SOURCE, f"{text}: `{setting}` is neither a count nor a key with a value", _EXAMPLE)
    return key, value


_EXAMPLE: Final = "Write NAME, NAME:3 or NAME:KEY=VALUE, such as slow:seconds=40."


def _rate(given: dict[str, str], text: str, default: float) -> float:
    rate = _number(given.pop("rate", f"{default:g}"), "rate", text)
    if rate > 1:
        raise ConfigError(*_SOURCE, f"{text}: rate is over 1", "Write a share from 0 to 1, such as rate=0.1.")
    return rate


def _seed(given: dict[str, str], text: str) -> int:
    return int(_number(given.pop("seed", "1"), "seed", text))


def _number(value: str, key: str, text: str) -> float:
    if not _NUMBER.fullmatch(value):
        raise ConfigError(*_SOURCE, f"{text}: {key} is not a number", f"Write a number, such as {key}=5.")
    return float(value)


def _options(given: Mapping[str, str], known: Sequence[str], text: str) -> dict[str, float]:
    for key in given:
        if key not in known:
            remedy = f"It has {', '.join(f'{one}=' for one in (*_COMMON, *known))}."
            raise ConfigError(*_SOURCE, f"{text}: `{key}` is not a key of it", remedy)
    return {key: _number(value, key, text) for key, value in given.items()}


def _where(given: dict[str, str], manner: Manner, text: str) -> Callable[[bytes], bool]:
    fields = {key: given.pop(key) for key in tuple(given) if _FIELD.fullmatch(key)}
    if not fields:
        return _every
    if manner.act is None:
        remedy = "Leave the field out: this acts before a message is read."
        raise ConfigError(*_SOURCE, f"{text}: `{next(iter(fields))}` cannot be asked for", remedy)
    return lambda payload: all(holds(payload, key, value) for key, value in fields.items())


def holds(payload: bytes, name: str, value: str) -> bool:
    """True if a field, such as `PID-3`, has this text in the first component of any repetition."""
    segment, _, number = name.partition("-")
    try:
        received = read(payload)
    except Unreadable:
        return False
    fields = (one.field(int(number)) for one in received.segments if one.name == segment)
    return any(value in _first_components(field, received) for field in fields)


def _first_components(value: str, received: Received) -> list[str]:
    repetitions = value.split(received.delimiters.repetition)
    return [received.components(repetition)[0] for repetition in repetitions]
