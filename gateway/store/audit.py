"""What operators did that the ledger alone does not explain: who asks later finds what was done, when and why.

Carries out no clause of a standard; decision D35.
"""

from __future__ import annotations

from typing import Final

from gateway.store.statements import Statement, Steps, ask

_NOTE: Final = Statement("INSERT INTO audit (at, verb, argument, reason) VALUES (:at, :verb, :argument, :reason)")


def noted(verb: str, argument: str, reason: str, now: int) -> Steps[None]:
    """Note it with what is done, in the same transaction; `argument` has names and ids, `reason` the operator's words.

    `now` is in microseconds.
    """
    yield from ask(_NOTE, at=now, verb=verb, argument=argument, reason=reason)
