"""Sizes of the proofs: for every run, and for `make soak`, which runs only the tests marked so."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

import pytest


@dataclass(frozen=True)
class Scale:
    """Arguments for the size of a proof, and its time limit in seconds: usual, then for `make soak`."""

    usual: Any
    soak: Any
    seconds: tuple[int, int]

    def both(self) -> list[Any]:
        """Return both sizes as parameters of a test."""
        usual, soak = (one if isinstance(one, tuple) else (one,) for one in (self.usual, self.soak))
        return [
            pytest.param(*usual, marks=pytest.mark.timeout(self.seconds[0])),
            pytest.param(*soak, marks=[pytest.mark.soak, pytest.mark.timeout(self.seconds[1])]),
        ]


_SHARE: Final = {"few": 0.05, "all": 1.0}


IS_WHOLE: Final = os.environ.get("EXAMPLES") == "all"  # as in `make soak`


def examples(most: int) -> int:
    """Return the number of examples for a property: few in `make test`, all in soak, else a tenth."""
    return max(5, int(most * _SHARE.get(os.environ.get("EXAMPLES", ""), 0.1)))


# Both databases for an indirect parameter: the second one in `make soak`
EITHER_STORE: Final = ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)]
# Studies that two gateways crawl at once, and their setting for PDFs
STUDIES = Scale((80, "link"), (2_000, "fetch"), (240, 1_200))
# Studies of a sweep that is killed, and the maximum seconds after its first page
SWEPT = Scale((250, 0.6), (1_000, 2.0), (240, 900))
# Studies crawled under two mappings, and reports per study; 0 for the sandbox's own number
REPORTS = Scale((20, 25), (10_100, 0), (120, 1_800))
# Searches made from the table of parameters
SEARCHES = Scale(900, 20_000, (120, 1_800))
# Requests that schemathesis makes from the OpenAPI document, and the database of the gateway
REQUESTS = Scale((500, "sqlite"), (20_000, "postgresql"), (120, 1_800))
# Types whose operations schemathesis leaves out of the usual run: they are built like the others
OF_OTHER_TYPES = Scale(
    r"/fhir/(ImagingStudy|Observation|Organization|Practitioner|Provenance|ServiceRequest|DocumentReference(?!/\$docref))",
    "",
    (120, 300),
)
# Times that a feed is killed, on each database
KILLS = Scale(15, 500, (120, 900))
# Schedules of gateways that are suspended, frozen and late: the first seed, and their number
SCHEDULES = tuple(Scale((first, 40), (first * 10, 2_500), (120, 900)) for first in range(0, 1_000, 250))
# Messages that wait for a receiver, and their size in bytes
BACKLOG = Scale((2_000, 30_000), (100_000, 4_000), (120, 1_800))
# Interleavings of two processes that ingest studies of one patient: the first seed, and their number
INTERLEAVINGS = Scale((1, 15), (1_000, 10_000), (240, 5_400))
# Hospitals of a hundred studies each, matched with their orders
HOSPITALS = Scale(4, 60, (120, 600))
# Times that the order loops are killed, and the whole service
ORDER_KILLS = Scale((50, 2), (500, 10), (150, 1_800))
# Kills of a feed while orders come late, and as many late orders
NEWS_KILLS = Scale(6, 200, (120, 900))
# Times that a whole gateway that crawls and feeds is killed since its first start
SERVICE_KILLS = Scale(2, 15, (240, 1_200))
