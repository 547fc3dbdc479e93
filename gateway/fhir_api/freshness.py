"""Age of a FHIR answer, and the client's demand for newer data in the `Cache-Control` header.

RFC 9111 §5.1 (`Age`) and §5.2.1 (`no-cache`, `max-age` of a request), decision D26: an answer from the index says
`incomplete` until the first sweep has ended, and whenever the last sweep is too old.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request

from gateway.fhir_api.facade import Facade
from gateway.fhir_api.http.outcome import Issue
from gateway.runtime import clock
from gateway.store.database.engine import micros

_MAX_AGE: Final = re.compile(r"max-age\s*=\s*\"?([0-9]{1,9})")
_SECOND: Final = 1_000_000


def wants_newer(request: Request, fetched: int | None) -> bool:
    """True if `Cache-Control` refuses an answer fetched at that instant (microseconds; None: never fetched).

    `no-cache`, in `Cache-Control` or `Pragma`, refuses every stored answer.
    """
    header = request.headers.get("cache-control", "").lower() or request.headers.get("pragma", "").lower()
    if not header:
        return False
    if "no-cache" in header:
        return True
    max_age = _MAX_AGE.search(header)
    return max_age is not None and (fetched is None or age(fetched) > int(max_age[1]))


def age(fetched: int) -> int:
    """Return the whole seconds since an instant (microseconds)."""
    return max(0, (micros(clock.now()) - fetched) // _SECOND)


def index_age(serving: Facade) -> int | None:
    """Return the seconds since the last completed sweep began; None before the first one has ended."""
    finished = serving.sweep().finished
    return None if finished is None else age(micros(finished.started))


def incompleteness(serving: Facade, *, is_counted: bool = True) -> list[Issue]:
    """Return the warning `index-incomplete`, or nothing if the index is complete and current.

    With `is_counted` it says how many studies are there, which a client with limits must not learn.
    """
    sweep = serving.sweep()
    if sweep.is_current(clock.now(), serving.max_index_age()):
        return []
    if sweep.finished is None:
        number = f" ({sweep.studies_seen} studies so far)" if is_counted else ""
        reason = f"the first look at all of AutoScribe has not ended{number}"
    else:
        reason = f"the last whole look at AutoScribe ended {age(micros(sweep.finished.ended))} s ago"
    return [Issue("warning", "incomplete", f"{reason}: there may be more than is found here", "index-incomplete")]
