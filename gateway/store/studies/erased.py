"""Remember studies that were erased on order, as keyed digests, so that no crawl, webhook or request reads them again.

RFC 2104 (HMAC); decision D49. The digest tells whoever has the database, but not the site key, nothing of a study.
Proved by tests/contract/test_erasing.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.audit import noted

_LABEL: Final = b"autoscribe-gateway:erased:1:"
_MARK: Final = Statement("INSERT INTO erased (digest, erased) VALUES (:digest, :now) ON CONFLICT DO NOTHING")
_AMONG: Final = Statement("SELECT digest FROM erased WHERE digest IN listed(:digests)")
_UNMARK: Final = Statement("DELETE FROM erased WHERE digest = :digest RETURNING digest")


def marker(study_id: str, key: bytes) -> str:
    """Return the digest by which an erased study is known."""
    return hmac.digest(key, _LABEL + study_id.encode("utf-8", "replace"), hashlib.sha256).hex()


def marked(study_ids: Iterable[str], key: bytes, now: int) -> Steps[None]:
    """Mark studies as erased."""
    yield from ask_each(_MARK, [{"digest": marker(one, key), "now": now} for one in study_ids])


async def erased_among(engine: Engine, study_ids: Iterable[str], key: bytes) -> set[str]:
    """Return those of these studies that were erased."""
    by_digest = {marker(one, key): one for one in study_ids}
    rows = await engine.fetch(_AMONG, digests=json.dumps(list(by_digest))) if by_digest else ()
    return {by_digest[str(digest)] for (digest,) in rows}


def readmitted(study_id: str, key: bytes, reason: str, now: int) -> Steps[bool]:
    """Forget that a study was erased, and note it in the audit; False if it was not erased."""
    was_erased = bool((yield from ask(_UNMARK, digest=marker(study_id, key))))
    if was_erased:
        yield from noted("patients-readmit", study_id, reason, now)
    return was_erased
