"""Generate a synthetic AutoScribe account from a random seed: studies, reports and users as AutoScribe JSON.

AutoScribe REST API: the shapes of `GET /studies`, `/reports` and `/users`.
The same seed gives the same bytes on every machine. A study does not depend on the number of studies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.sandbox import people
from gateway.sandbox.dice import Dice
from gateway.sandbox.oddities import ODDITIES
from gateway.sandbox.seed_study import KINDS, SeededStudy, StudyPlan, seeded_study

Json = dict[str, Any]

BETWEEN_STUDIES: Final = timedelta(minutes=7)
_ODDITY_NAMES: Final = tuple(ODDITIES)


@dataclass(frozen=True, slots=True)
class AccountContent:
    """Initial, immutable content of an account."""

    seed: int
    epoch: datetime
    seeded: tuple[SeededStudy, ...]
    users: tuple[Json, ...]
    revoked: frozenset[str] = field(default_factory=frozenset)

    def fresh(self, number: int, created: datetime, kind: str = "signed") -> SeededStudy:
        """Generate a further study; `number` continues the seeded ones. Every fifth has an oddity."""
        oddity = _ODDITY_NAMES[number // 5 % len(_ODDITY_NAMES)] if number % 5 == 4 else None
        return seeded_study(self.seed, self.users, StudyPlan(number, created, kind, oddity))


def report_list(study: Json, reports: tuple[Json, ...] | list[Json]) -> Json:
    """Build the `GET /v1/autoScribe/reports` response of a study."""
    return {
        "reports": list(reports),
        "studyId": study["studyId"],
        "studyInstanceUid": study["studyInstanceUid"],
    }


def generate(seed: int = 1, studies: int = 40) -> AccountContent:
    """Generate the account of a seed. Every third study has an oddity; all oddities occur within 150 studies."""
    epoch = datetime(2026, 1, 5, 15, tzinfo=UTC) + timedelta(days=Dice(seed, "epoch").integer(0, 120))
    staff, revoked = people.users(seed, epoch.strftime("%Y-%m-%dT%H:%M:%SZ"))
    seeded = tuple(
        seeded_study(seed, staff, _plan(number, epoch + number * BETWEEN_STUDIES)) for number in range(studies)
    )
    return AccountContent(seed, epoch, seeded, staff, revoked)


def _plan(number: int, created: datetime) -> StudyPlan:
    if number % 3 == 1:
        return StudyPlan(number, created, oddity=_ODDITY_NAMES[number // 3 % len(_ODDITY_NAMES)])
    return StudyPlan(number, created, KINDS[number % len(KINDS)])
