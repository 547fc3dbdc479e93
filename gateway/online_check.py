"""`check-config --online`: what only shows when AutoScribe, the database and the PDF store are asked.

AutoScribe REST API: `GET /v1/autoScribe/studies`, `/reports/pdf`; the scope of a key (`Self` or `All`) is not said by
any answer, so it is told by what the key sees.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from gateway.assembly import opened_store
from gateway.errors import ConfigError, PdfUnavailable, StoreError, UpstreamError
from gateway.settings import Configuration
from gateway.store.coverage import StoredCursors
from gateway.sync.signatures import signatures
from gateway.upstream.client import UpstreamClient

Json = Mapping[str, Any]
_ENOUGH: Final = 300
_FEW: Final = 5
_MOST_REFUSED: Final = 2


async def findings(configuration: Configuration) -> AsyncIterator[ConfigError]:
    """Everything that is wrong, an error each."""
    async with UpstreamClient(configuration.settings.upstream, configuration.settings.pdf) as client:
        try:
            seen = await _studies(client)
        except UpstreamError as error:
            yield ConfigError(configuration.source, "upstream", error.code, error.remedy)
        else:
            for finding in (_scope(configuration, seen), await _pdf(configuration, client, seen)):
                if finding is not None:
                    yield finding
    async for finding in _store(configuration):
        yield finding


async def _studies(client: UpstreamClient) -> list[Json]:
    """Enough studies to judge by."""
    seen: list[Json] = []
    async for page in client.studies():
        seen += page.value["studies"]
        if len(seen) >= _ENOUGH:
            break
    return seen


def _scope(configuration: Configuration, seen: Sequence[Json]) -> ConfigError | None:
    """A key of scope `Self` sees what integrations made, and nothing that a person or another system made."""
    if not seen:
        problem = "the key sees no study at all"
    elif len(seen) >= _FEW and all(study.get("createdByApiKey") for study in seen):
        problem = f"all of {len(seen)} studies that the key sees were made with an API key: its scope looks like Self"
    else:
        return None
    remedy = "Make a key with the study scope All in AutoScribe's dashboard, unless this is all there is."
    return ConfigError(configuration.source, "upstream.api_key", problem, remedy)


async def _pdf(configuration: Configuration, client: UpstreamClient, seen: Sequence[Json]) -> ConfigError | None:
    """Whether the PDF of a signed report can be had from where AutoScribe keeps it."""
    signed = [one["reportId"] for study in seen for one in study.get("reportIds") or () if one["status"] == "completed"]
    for report_id in signed[:1]:
        try:
            async with client.stream_pdf(report_id):
                return None
        except UpstreamError as error:
            key = "pdf.allowed_hosts" if isinstance(error, PdfUnavailable) else "upstream"
            problem = f"the PDF of a signed report cannot be had ({error.detail or error.code})"
            return ConfigError(configuration.source, key, problem, error.remedy)
    return None


async def _store(configuration: Configuration) -> AsyncIterator[ConfigError]:
    """Whether the database can be opened, and what it knows of webhooks."""
    try:
        async with opened_store(configuration) as engine:
            counted = await signatures(StoredCursors(engine))
    except ConfigError as error:
        yield error
    except StoreError as error:
        yield ConfigError(configuration.source, "database.url", error.detail, error.remedy)
    else:
        if counted.refused > _MOST_REFUSED:
            since = f"since {counted.held}" if counted.held else "and none ever held"
            problem = f"the signatures of {counted.refused} webhooks did not hold {since}"
            remedy = "Set AVARA_WEBHOOK_KEY to the secret of the webhook in AutoScribe's dashboard."
            yield ConfigError(configuration.source, "webhook.key", problem, remedy)
