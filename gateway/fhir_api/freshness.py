"""How old an answer is, and whether the client wants a newer one.

RFC 9111 §5.1 (`Age`) and §5.2.1 (`no-cache`, `max-age` of a request), decision D26: until the first sweep has ended, or
when the last is too old, an answer of the index says `incomplete`.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request

from gateway.fhir_api.facade import Facade
from gateway.fhir_api.http.outcome import Issue
from gateway.runtime import clock
from gateway.store.database.instants import micros

_MAX_AGE: Final = re.compile(r"max-age\s*=\s*\"?([0-9]{1,9})")
_SECOND: Final = 1_000_000


def wants_newer(request: Request, fetched: int | None) -> bool:
    """True if the client takes no answer as old as one that AutoScribe gave at that instant (microseconds, or never).

    `no-cache`, also as `Pragma`, takes none that is stored.
    """
    header = request.headers.get("cache-control", "").lower() or request.headers.get("pragma", "").lower()
    if not header:
        return False
    if "no-cache" in header:
        return True
    found = _MAX_AGE.search(header)
    return found is not None and (fetched is None or age(fetched) > int(found[1]))


def age(fetched: int) -> int:
    """Whole seconds since an instant (microseconds)."""
    return max(0, (micros(clock.now()) - fetched) // _SECOND)


def index_age(serving: Facade) -> int | None:
    """Whole seconds for which a change may have gone unseen; None before the first sweep has ended."""
    finished = serving.sweep().finished
    return None if finished is None else age(micros(finished.started))


def incompleteness(serving: Facade) -> list[Issue]:
    """What there is to say of answers that come from the index alone; nothing where it is complete and current."""
    sweep = serving.sweep()
    if sweep.is_current(clock.now(), serving.max_index_age):
        return []
    if sweep.finished is None:
        said = f"the first look at all of AutoScribe has not ended ({sweep.studies_seen} studies so far)"
    else:
        said = f"the last whole look at AutoScribe ended {age(micros(sweep.finished.ended))} s ago"
    return [Issue("warning", "incomplete", f"{said}: there may be more than is found here", "index-incomplete")]
