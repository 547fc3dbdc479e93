"""Parse the `--fault` option, choose requests to the AutoScribe look-alike, and make the chosen requests fail.

Carries out no clause of a standard. `SPEC = FAULT *("," FAULT)`, `FAULT = NAME *(":" KEY "=" VALUE)`. Every fault has
the keys `rate` (0 to 1), `call` (the n-th matching request, or `n-m`), `path` (part of the path) and `method`. Without
`rate` and `call`, every matching request is struck. Examples: `429:rate=0.1:retry-after=2`, `500:call=3`,
`timeout:path=/reports:rate=0.05`.
Proved by tests/gateway/sandbox/test_faults.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.runtime.errors import ConfigError
from gateway.sandbox.dice import Dice
from gateway.sandbox.faults import API, BEHAVIOURS, STORAGE, StruckRequest

_CALL: Final = re.compile(r"([1-9][0-9]*)(?:-([1-9][0-9]*))?")
_COMMON: Final = ("rate", "call", "path", "method")


@dataclass(frozen=True, slots=True)
class Fault:
    """One part of a SPEC: strikes the matching requests `first` to `last`, each with probability `rate`."""

    name: str
    rate: float = 1.0
    first: int = 1
    last: int | None = None
    path: str = ""
    method: str = ""
    options: dict[str, float] = field(default_factory=dict)

    def matches(self, method: str, path: str) -> bool:
        """True if the fault applies to such a request; the controls under `/sandbox` are never struck."""
        wanted = self.path or BEHAVIOURS[self.name].scope
        return path.startswith((API, STORAGE)) and wanted in path and self.method in {"", method}


def parse_faults(specs: Sequence[str], source: str = "--fault") -> tuple[Fault, ...]:
    """Parse SPECs; each is one fault, or several separated by commas.

    Raises:
        ConfigError: a part is wrong; the error names it and its remedy.
    """
    parts = [part.strip() for spec in specs for part in spec.split(",")]
    return tuple(_fault(part, source) for part in parts if part)


def _fault(part: str, source: str) -> Fault:
    name, *settings = part.split(":")
    if name not in BEHAVIOURS:
        raise ConfigError(source, part, "no such fault", f"Known: {', '.join(BEHAVIOURS)}.")
    pairs = [setting.partition("=")[::2] for setting in settings]
    known = (*_COMMON, *BEHAVIOURS[name].options)
    for key, value in pairs:
        if key not in known or not value:
            remedy = f"{name} has {', '.join(f'{one}=' for one in known)}."
            raise ConfigError(source, part, f"`{key}` is not a key with a value", remedy)
    given = dict(pairs)
    first, last = _calls(given.get("call"), part, source)
    options = {
        key: _number(given[key], key, part, source) if key in given else default
        for key, default in BEHAVIOURS[name].options.items()
    }
    rate = _number(given.get("rate", "1"), "rate", part, source)
    if rate > 1:
        raise ConfigError(source, part, "rate is over 1", "Write a share from 0 to 1, such as rate=0.1.")
    return Fault(name, rate, first, last, given.get("path", ""), given.get("method", "").upper(), options)


def _number(text: str, key: str, part: str, source: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ConfigError(source, part, f"{key} is not a number", f"Write a number, such as {key}=0.5.")
    return float(text)


def _calls(text: str | None, part: str, source: str) -> tuple[int, int | None]:
    if text is None:
        return 1, None
    span = _CALL.fullmatch(text)
    if not span:
        raise ConfigError(source, part, "call is not the number of a request", "Write call=3 or call=3-5.")
    return int(span[1]), int(span[2] or span[1])


class FaultPlan:
    """Counter of requests that chooses the fault for each, if any; the same seed strikes the same requests."""

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 1) -> None:
        self._seed = seed
        self.replace(faults)

    def replace(self, faults: Sequence[Fault]) -> None:
        """Restart the counts with other faults."""
        self.faults = tuple(faults)
        self._calls = [0] * len(self.faults)
        self._dice = [Dice(self._seed, "fault", number) for number in range(len(self.faults))]

    def strikes(self, method: str, path: str) -> Fault | None:
        """Count the request for every fault that matches it; return the first fault that strikes."""
        hit = None
        for number, fault in enumerate(self.faults):
            if not fault.matches(method, path):
                continue
            self._calls[number] += 1
            in_range = fault.first <= self._calls[number] <= (fault.last or self._calls[number])
            if self._dice[number].chance(fault.rate) and in_range:
                hit = hit or fault
        return hit


class FaultLayer:
    """ASGI middleware: lets a fault of the plan act instead of the application."""

    def __init__(self, app: ASGIApp, plan: FaultPlan) -> None:
        self.app, self.plan = app, plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or let the fault that strikes it act."""
        fault = self.plan.strikes(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if fault is None:
            await self.app(scope, receive, send)
        else:
            await BEHAVIOURS[fault.name].act(StruckRequest(self.app, scope, receive, send, fault.options))
