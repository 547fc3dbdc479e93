"""Studies of the sandbox as AutoScribe would send them."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.sandbox.seed import AccountContent, report_list
from gateway.sandbox.seed_study import Json


def documents(content: AccountContent) -> Iterator[tuple[Json, Json, tuple[Json, ...]]]:
    """Yield for every study: its Study, its `GET /reports` response, and the users that its reports name."""
    by_id = {user["userId"]: user for user in content.users}
    for seeded in content.seeded:
        named = dict.fromkeys(report["userId"] for report in seeded.reports)
        yield seeded.study, report_list(seeded.study, seeded.reports), tuple(by_id[user_id] for user_id in named)
