"""Read the AutoScribe users who created or signed a study's reports, and cache these users for a short while.

AutoScribe REST API: `GET /v1/autoScribe/users/{userId}`; a user whose access was revoked is not found, which is normal.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from gateway.ingest.single_flight import SingleFlight
from gateway.runtime import clock
from gateway.runtime.errors import UpstreamError
from gateway.upstream.client import UpstreamClient
from mappings.issues import MappingIssue

Json = Mapping[str, Any]
REMEMBERED_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 1_000


class AskedUser(NamedTuple):
    """User as AutoScribe returned it at that time, or None."""

    user: Json | None
    at: datetime


class Users:
    """Cache of users by id. `None` is cached too: AutoScribe does not know the user."""

    def __init__(self, upstream: UpstreamClient, flights: SingleFlight) -> None:
        self._upstream, self._flights = upstream, flights
        self._remembered: OrderedDict[str, tuple[float, AskedUser]] = OrderedDict()

    async def get(self, user_id: str, *, anew: bool = False) -> AskedUser:
        """Return the User and when it was read; None if AutoScribe does not know it. With `anew`, pass the cache.

        Raises:
            UpstreamError: AutoScribe could not be asked.
        """
        user = None if anew else self._lately(user_id)
        if user is not None:
            return user
        return await self._flights.run(("user", user_id), lambda: self._fetch(user_id))

    async def of(self, reports: Sequence[Json]) -> tuple[list[AskedUser], list[MappingIssue]]:
        """Return the users of reports that could be read, and an issue for each that could not."""
        wanted = {report["userId"]: index for index, report in reversed(list(enumerate(reports)))}
        lately = {user_id: user for user_id in wanted if (user := self._lately(user_id)) is not None}
        others = [user_id for user_id in wanted if user_id not in lately]  # each of them takes a task
        read = await asyncio.gather(*map(self.get, others), return_exceptions=True) if others else []
        answers = {**lately, **dict(zip(others, read, strict=True))}
        users: list[AskedUser] = []
        issues: list[MappingIssue] = []
        for user_id, index in wanted.items():
            user = answers[user_id]
            if isinstance(user, UpstreamError):
                action = "AutoScribe could not be asked: the radiologist is named by identifier only, for now"
                issues.append(MappingIssue("user-unavailable", "warning", f"/reports/{index}/userId", action))
            elif isinstance(user, BaseException):
                raise user
            elif user.user is not None:
                users.append(user)
        return users, issues

    def _lately(self, user_id: str) -> AskedUser | None:
        """Return a user that was read a short while ago; None for any other."""
        until, user = self._remembered.get(user_id, (0.0, None))
        return user if clock.monotonic() < until else None

    async def _fetch(self, user_id: str) -> AskedUser:
        at = clock.now()
        answer = await self._upstream.user(user_id)
        user = AskedUser(answer.value if answer else None, at)
        self._remembered[user_id] = (clock.monotonic() + REMEMBERED_SECONDS, user)
        self._remembered.move_to_end(user_id)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return user
