"""Build the webhook inbox of one event loop: it stores deliveries and answers questions.

Carries out no clause of a standard; decisions D18, D42, D48.
Proved by tests/contract/test_told.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gateway.runtime.metrics import Metrics
from gateway.store.database.engine import WEBHOOK, Engine
from gateway.store.enrichment import StoredEnrichments, StoredWebhooks
from gateway.webhooks.answering import answers_of
from gateway.webhooks.endpoint import NoteShown, WebhookInbox
from gateway.webhooks.event import Verifier
from mappings.profile import Site


def inbox_of(  # noqa: PLR0913, PLR0917 (the parts of an inbox)
    engine: Engine,
    secrets: Iterable[bytes],
    site: Site,
    metrics: Metrics,
    order_days: Mapping[str, int],
    note_signature: Callable[[bool], None],
    note_shown: NoteShown | None = None,
) -> WebhookInbox:
    """Build the inbox; `order_days` says for how long after its end an order may still match, by source.

    `note_shown` notes in the audit what an answer shows, None if there is no audit.
    """
    return WebhookInbox(
        Verifier(secrets),
        StoredWebhooks(engine),
        StoredEnrichments(engine),
        metrics,
        lambda: engine.bell.ring(WEBHOOK),
        note_signature,
        answers=answers_of(engine, site, order_days),
        note_shown=note_shown,
    )
