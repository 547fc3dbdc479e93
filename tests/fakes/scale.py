"""How large the proofs are: in every run, and in `make soak`, which runs those that are marked so and no others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

import pytest


@dataclass(frozen=True)
class Scale:
    """The arguments of a proof that say its size, and how many seconds it may take: as usual, then for `make soak`."""

    usual: Any
    soak: Any
    seconds: tuple[int, int]

    def both(self) -> list[Any]:
        """For a test that takes them as parameters."""
        usual, soak = (one if isinstance(one, tuple) else (one,) for one in (self.usual, self.soak))
        return [
            pytest.param(*usual, marks=pytest.mark.timeout(self.seconds[0])),
            pytest.param(*soak, marks=[pytest.mark.soak, pytest.mark.timeout(self.seconds[1])]),
        ]


_SHARE: Final = {"few": 0.05, "all": 1.0}


def examples(most: int) -> int:
    """Return the number of examples for a property: few in `make test`, two fifths in `make test-all`, all in soak."""
    return max(5, int(most * _SHARE.get(os.environ.get("EXAMPLES", ""), 0.4)))


# Studies that two gateways crawl at once, and what they do about PDFs
STUDIES = Scale((150, "link"), (2_000, "fetch"), (240, 1_200))
# Studies of a sweep that is killed, and the most seconds after its first page that it is
SWEPT = Scale((250, 0.6), (1_000, 2.0), (240, 900))
# Studies crawled under two mappings, and how many reports each has; 0 for as many as the sandbox gives it
REPORTS = Scale((20, 25), (10_100, 0), (120, 1_800))
# Searches made of the table of parameters
SEARCHES = Scale(1_200, 20_000, (120, 1_800))
# Requests that schemathesis makes of the OpenAPI document, and the database of the gateway
REQUESTS = Scale((800, "sqlite"), (20_000, "postgresql"), (120, 1_800))
# Types whose operations schemathesis leaves out at the bounds: they are made as those of the others are
OF_OTHER_TYPES = Scale(
    r"/fhir/(ImagingStudy|Observation|Organization|Practitioner|Provenance|ServiceRequest|DocumentReference(?!/\$docref))",
    "",
    (120, 300),
)
# Times that a feed is killed, on each database
KILLS = Scale(25, 500, (120, 900))
# Schedules of gateways that are suspended, frozen and late: the first seed, and how many
SCHEDULES = tuple(Scale((first, 250), (first * 10, 2_500), (120, 900)) for first in range(0, 1_000, 250))
# Messages that wait for a receiver, and how large each is in bytes
BACKLOG = Scale((2_000, 30_000), (100_000, 4_000), (120, 1_800))
