"""Settings in force: which decided when what each destination is owed; kept in the database as JSON.

Carries out no clause of a standard; decision D37. A change of settings applies from its instant on. A report signed
earlier is owed at once only if the settings of that time owed it; otherwise it belongs to the plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, get_args

from gateway.routing.filter import Filter, Ignore, Scope
from gateway.routing.owed import Terms
from gateway.settings.destination import Status

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LISTS: Final = ("facilities", "express_customers", "modalities")


@dataclass(frozen=True, slots=True)
class Revision:
    """Settings of a destination in force since an instant, with the ignore rules of that time."""

    since: datetime
    terms: Terms
    ignores: tuple[Ignore, ...] = ()


@dataclass(frozen=True, slots=True)
class InForce:
    """Settings in force by destination name: all that ever were, the newest last.

    `number` is that of the newest change of all; `ignores` are the rules that came with it.
    """

    revisions: Mapping[str, tuple[Revision, ...]]
    ignores: tuple[Ignore, ...] = ()
    number: int = 0

    @property
    def terms(self) -> list[Terms]:
        """Settings in force now, of the enabled destinations."""
        return [each[-1].terms for each in self.revisions.values() if each[-1].terms.is_enabled]

    def since(self, name: str) -> datetime:
        """Return since when a destination's present settings are in force."""
        return self.revisions[name][-1].since

    def is_since(self, name: str, moment: datetime) -> bool:
        """Return True if a report signed at a moment was signed under the present settings in force."""
        return moment >= self.since(name).replace(microsecond=0)  # a signing time may have whole seconds

    def terms_at(self, name: str, moment: datetime) -> Terms | None:
        """Return the settings that were in force at a moment; None before the first ones."""
        found = [one.terms for one in self.revisions[name] if one.since <= moment]
        return found[-1] if found else None

    def changed(self, terms: Terms, ignores: tuple[Ignore, ...], since: datetime) -> InForce:
        """Return a copy with new settings for a destination from an instant on."""
        now = (*self.revisions.get(terms.name, ()), Revision(since, terms, ignores))
        return InForce({**self.revisions, terms.name: now}, ignores, self.number)

    def until(self, now: datetime) -> InForce:
        """Return a copy in which settings dated after `now` are in force from `now`: the clock was ahead."""
        if not any(one.since > now for each in self.revisions.values() for one in each):
            return self
        capped = {
            name: tuple(replace(one, since=min(one.since, now)) for one in each)
            for name, each in self.revisions.items()
        }
        return replace(self, revisions=capped)


NOTHING_IN_FORCE: Final = InForce({})


def ever_in_force(terms: Iterable[Terms], ignores: tuple[Ignore, ...] = ()) -> InForce:
    """Return settings that are in force for all time."""
    return InForce({one.name: (Revision(BEGINNING, one, ignores),) for one in terms}, ignores)


def written(terms: Terms, ignores: Iterable[Ignore]) -> str:
    """Write settings as the database stores them: JSON, the same text for the same settings."""
    accepts = terms.filter
    values = {
        "start": terms.start.astimezone(UTC).isoformat(),
        "scope": _scope_as_json(accepts.scope),
        "statuses": sorted(accepts.statuses),
        "critical": accepts.critical,
        "sends_drafts": terms.sends_drafts,
        "restates": terms.restates,
        "moves_merges": terms.moves_merges,
        "enabled": terms.is_enabled,
        "ignores": [{"name": one.name, "scope": _scope_as_json(one.scope)} for one in ignores],
    }
    return json.dumps(values, sort_keys=True)


def digest(settings: str) -> str:
    """Return the digest of written settings."""
    return hashlib.sha256(settings.encode()).hexdigest()


def read(name: str, since: datetime, settings: str) -> Revision:
    """Parse the settings that `written` wrote."""
    values = json.loads(settings)
    statuses = frozenset(one for one in get_args(Status) if one in values["statuses"])
    terms = Terms(
        name,
        datetime.fromisoformat(values["start"]),
        Filter(_scope(values["scope"]), statuses, values["critical"]),
        values["sends_drafts"],
        values["restates"],
        values["enabled"],
        values["moves_merges"],
    )
    return Revision(since, terms, tuple(Ignore(one["name"], "", _scope(one["scope"])) for one in values["ignores"]))


def _scope_as_json(scope: Scope) -> dict[str, list[str] | None]:
    lists: dict[str, frozenset[str] | None] = {name: getattr(scope, name) for name in _LISTS}
    return {name: None if values is None else sorted(values) for name, values in lists.items()}


def _scope(values: Mapping[str, Any]) -> Scope:
    return Scope(**{name: None if values[name] is None else frozenset(values[name]) for name in _LISTS})
