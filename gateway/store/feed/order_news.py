"""Store news about a study's order that came after a destination was sent the study, such as a late order.

Carries out no clause of a standard; decisions D20, D48. An ingest writes the news, together with the study. Whoever
serves the destination then notes them, or sends the study once more if the destination asks for that.
Proved by tests/contract/test_order_news.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from gateway.store.database.engine import Engine, Row, Statement, Steps, ask
from gateway.store.feed.leases import Lease, check_lease
from gateway.store.feed.plans import IS_RETIRED
from gateway.store.feed.states import CANCELLED_AFTER, REFILED, WITHOUT_ORDER, WRONG_VISIT

Outcome = Literal["open", "noted", "restated"]
_MOST: Final = 100
_MOST_LISTED: Final = 1_000
# What the last message to each destination is; news about it are told once. Nobody acts on news for one that is retired
_ADD: Final = (
    "INSERT INTO order_news (study_id, destination, code, outcome, at) SELECT m.study_id, m.destination,"  # noqa: S608 (constants)
    " CAST(:code AS TEXT), 'open', CAST(:now AS BIGINT) FROM message m WHERE m.study_id = :study_id"
    " AND m.state NOT IN ('dead_letter', 'superseded', 'recorded') AND m.kind <> 'moved' AND NOT EXISTS (SELECT 1"
    " FROM message n WHERE n.destination = m.destination AND n.study_id = m.study_id AND n.number > m.number"
    " AND n.state NOT IN ('dead_letter', 'superseded', 'recorded') AND n.kind <> 'moved') AND NOT EXISTS (SELECT 1"
    " FROM order_news w WHERE w.study_id = m.study_id AND w.destination = m.destination AND w.code = :code"
    f" AND w.at >= m.made) AND NOT EXISTS ({IS_RETIRED.format('m.destination')})"
)
_NOTE_ALL: Final = Statement(
    "UPDATE order_news SET outcome = 'noted' WHERE destination = :destination AND outcome = 'open'"
)
_ADD_LATE: Final = Statement(f"{_ADD} AND ' ' || m.remarks || ' ' LIKE '% sent-without-order %'")
_ADD_ANY: Final = Statement(_ADD)
_OPEN: Final = Statement(
    "SELECT number, study_id, destination, code, outcome, at FROM order_news WHERE destination = :destination"
    " AND outcome = 'open' ORDER BY at, number LIMIT :most"
)
_NOTED: Final = Statement(
    "SELECT number, study_id FROM order_news WHERE destination = :destination AND outcome = 'noted' AND code = :code"
    " AND at > :since ORDER BY at LIMIT :most"
)
_NOT_SENT_AGAIN: Final = Statement(
    "SELECT w.study_id FROM order_news w WHERE w.destination = :destination AND w.outcome = :outcome AND w.code = :code"
    " AND w.at >= :since AND NOT EXISTS (SELECT 1 FROM message m WHERE m.destination = w.destination"
    " AND m.study_id = w.study_id AND m.made > w.at AND m.state NOT IN ('dead_letter', 'superseded', 'recorded'))"
    " ORDER BY w.at, w.number LIMIT :most"
)
_OF_STUDIES: Final = Statement(
    "SELECT number, study_id, destination, code, outcome, at FROM order_news WHERE study_id IN listed(:study_ids)"
    " ORDER BY number"
)
_SETTLE: Final = Statement("UPDATE order_news SET outcome = :outcome WHERE number = :number AND outcome = 'open'")
# Every signed report that was sent goes once more, in its present state. A report that was delivered once is not urgent
# again
_RESTATE: Final = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, reason, is_move, is_critical,"
    " due, priority, signed, decided, replay) SELECT o.study_id, o.report_id, 'replay', o.content_version,"
    " o.destination, 'waiting', '', CAST(:is_move AS BIGINT), CASE WHEN EXISTS (SELECT 1"
    " FROM message d WHERE d.destination = o.destination"
    " AND d.study_id = o.study_id AND d.state = 'delivered') THEN 0 ELSE o.is_critical END, CAST(:now AS BIGINT), 1,"
    " o.signed, CAST(:now AS BIGINT), (SELECT max(r.replay) + 1 FROM outbox r WHERE r.study_id = o.study_id"
    " AND r.destination = o.destination AND r.report_id = o.report_id) FROM outbox o JOIN report p"
    " ON p.report_id = o.report_id AND p.status = 'completed' WHERE o.study_id = :study_id"
    " AND o.destination = :destination AND o.number = (SELECT max(t.number) FROM outbox t"
    " WHERE t.study_id = o.study_id AND t.destination = o.destination AND t.report_id = o.report_id"
    " AND t.state IN ('rendered', 'merged') AND t.kind NOT IN ('draft', 'draft_cancelled')) RETURNING number"
)


@dataclass(frozen=True, slots=True)
class OrderNews:
    """News about the order of a study that the destination has; `at` in microseconds."""

    number: int
    study_id: str
    destination: str
    code: str
    outcome: Outcome
    at: int


def add_order_news(study_id: str, codes: Iterable[str], now: int) -> Steps[None]:
    """Store news about a study for each destination that has it, or is about to get it."""
    statements = {WITHOUT_ORDER: _ADD_LATE, CANCELLED_AFTER: _ADD_ANY, WRONG_VISIT: _ADD_ANY}
    for code in codes:
        yield from ask(statements[code], study_id=study_id, code=code, now=now)


def note_all_news(destination: str) -> Steps[None]:
    """Settle all news of a destination as only noted, since nobody acts on it any more."""
    yield from ask(_NOTE_ALL, destination=destination)


async def open_news(engine: Engine, destination: str) -> list[OrderNews]:
    """Return the oldest news that is not settled yet."""
    return [_news(row) for row in await engine.fetch(_OPEN, destination=destination, most=_MOST)]


async def noted_news(engine: Engine, destination: str, code: str, since: int, most: int) -> Sequence[Row]:
    """Return number and study of news that was only noted, after that instant."""
    return await engine.fetch(_NOTED, destination=destination, code=code, since=since, most=most)


async def not_sent_again(engine: Engine, destination: str, code: str, since: int) -> list[str]:
    """Return up to 1,000 studies with such news since that instant, and no message composed afterwards.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    key = {"destination": destination, "code": code, "since": since, "most": _MOST_LISTED}
    rows = [row for outcome in ("noted", "open") for row in await engine.fetch(_NOT_SENT_AGAIN, outcome=outcome, **key)]
    return list(dict.fromkeys(str(study_id) for (study_id,) in rows))


async def order_news_of(engine: Engine, study_ids: Sequence[str]) -> list[OrderNews]:
    """Return all news about some studies, the oldest first."""
    return [_news(row) for row in await engine.fetch(_OF_STUDIES, study_ids=json.dumps(list(study_ids)))]


def settle_news(lease: Lease, news: OrderNews, late_match: str, now: int) -> Steps[Outcome]:
    """Settle news: note it, or queue the study's reports to be sent again; return which of both.

    `late_match` is the destination's setting.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
    outcome: Outcome = "noted"
    if late_match != "note" and news.code == WITHOUT_ORDER:
        is_move = REFILED if late_match == "withdraw_restate" else 0
        lane = {"destination": lease.destination, "study_id": news.study_id, "is_move": is_move}
        if (yield from ask(_RESTATE, **lane, now=now)):
            outcome = "restated"
    yield from ask(_SETTLE, number=news.number, outcome=outcome)
    return outcome


def _news(row: Row) -> OrderNews:
    number, study_id, destination, code, outcome, at = row
    return OrderNews(int(number), str(study_id), str(destination), str(code), cast(Outcome, str(outcome)), int(at))
