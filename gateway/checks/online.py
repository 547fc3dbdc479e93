"""`check-config --online`: connect to AutoScribe, its PDF store, the database, the token issuer and all destinations.

AutoScribe REST API: `GET /v1/autoScribe/studies`, `/reports/pdf`. No answer states the scope of a key (`Self` or
`All`), so it is guessed from the studies that the key sees. Destinations get a connection, but no message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from gateway.checks.doctor.seen import Seen
from gateway.checks.login import online_faults
from gateway.ingest.assembly import opened_store
from gateway.mllp.connection import Connection
from gateway.routing import Destination, routes_of
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, ConnectFailed, PdfUnavailable, StoreError, UpstreamError
from gateway.settings import Configuration
from gateway.settings.destination import ONLY_OF
from gateway.store.studies.crawling import StoredCursors
from gateway.upstream.client import UpstreamClient
from gateway.webhooks.signature_count import signatures

Json = Mapping[str, Any]
_ENOUGH: Final = 300
_FEW: Final = 5
_READ: Final = 100
_MOST_REFUSED: Final = 2
# Seconds to wait: in TLS 1.3 a client learns only after the handshake that its certificate is refused
_LISTEN: Final = 0.5

# Part of the reason -> key to check, remedy; the first match counts. A kind without the key has that of its address
_WAYS: Final = {
    "host name is not known": ("host", "Check the name, and the resolver of this machine."),
    "refused": ("port", "Check that the receiver listens there, and what the firewall lets through."),
    "no connection after": ("host", "Check the address, the firewall, and whether TLS is spoken there or not."),
    "ismatch": ("server_name", "Name the host as its certificate does; over MLLP server_name may."),
    "expired": ("host", "The certificate of the receiver has to be renewed there."),
    "certificate": ("ca_file", "Name in ca_file the authority that the receiver's certificate is from."),
    "WRONG_VERSION_NUMBER": ("tls", "No TLS is spoken there: check the port, or switch TLS off."),
    "TLS:": ("client_cert", "Check the certificate shown, and which TLS versions the receiver takes."),
    "closed": ("host", "Check whom the receiver lets in: by this machine's address, with TLS by client_cert."),
}
_ANY_WAY: Final = ("host", "Check the receiver's address and the network on the way.")


async def findings(configuration: Configuration) -> AsyncIterator[ConfigError]:
    """Yield every fault found online as an error."""
    async with UpstreamClient(configuration.settings.upstream, configuration.settings.pdf) as client:
        try:
            listed = await _studies(client)
        except UpstreamError as error:
            yield ConfigError(configuration.source, "upstream", error.code, error.remedy)
        else:
            for finding in (_scope(configuration, listed), await _pdf(configuration, client, listed)):
                if finding is not None:
                    yield finding
    async for finding in _store(configuration):
        yield finding
    for finding in (*await online_faults(configuration), *await _unreachable(configuration)):
        yield finding


async def read_account(configuration: Configuration, most: int) -> tuple[Seen, list[Json], list[Json]]:
    """Return counts of the first `most` studies, the signed ones of the first hundred with `reports`, and all users.

    Raises:
        UpstreamError: AutoScribe cannot be read.
    """
    seen = Seen()
    async with UpstreamClient(configuration.settings.upstream, configuration.settings.pdf) as client:
        signed = await _look(client, configuration, seen, most)
        return seen, signed, [one async for page in client.users() for one in page.value["users"]]


async def count_seen(configuration: Configuration) -> Seen:
    """Count the data of the first studies in AutoScribe, a hundred at most, with the reports of signed ones.

    The result is empty if AutoScribe cannot be read; `findings` reports the reason.
    """
    seen = Seen()
    async with UpstreamClient(configuration.settings.upstream, configuration.settings.pdf) as client:
        with contextlib.suppress(UpstreamError):
            await _look(client, configuration, seen, _READ)
    return seen


async def _look(client: UpstreamClient, configuration: Configuration, seen: Seen, most: int) -> list[Json]:
    """Count the first studies, and return those of the first hundred that have a signed report, with their reports."""
    signed: list[Json] = []
    for number, study in enumerate((await _studies(client, most))[:most]):
        if study.get("studyType") != "external":
            reports: Any = await _reports(client, study) if number < _READ else []
            seen.look_at(study, reports, configuration.site)
            if reports:
                signed.append({**study, "reports": reports["reports"]})
    return signed


async def _reports(client: UpstreamClient, study: Json) -> Any:
    """Fetch the reports of a study if one is signed, else return an empty list."""
    if any(one["status"] == "completed" for one in study.get("reportIds") or ()):
        return (await client.reports(study_id=study["studyId"])).value
    return []


async def _studies(client: UpstreamClient, enough: int = _ENOUGH) -> list[Json]:
    """List studies page by page until there are enough."""
    studies: list[Json] = []
    async for page in client.studies():
        studies += page.value["studies"]
        if len(studies) >= enough:
            break
    return studies


def _scope(configuration: Configuration, listed: Sequence[Json]) -> ConfigError | None:
    """Report a key that seems to have scope `Self`: it sees no study, or only those made with an API key."""
    if not listed:
        problem = "the key sees no study at all"
    elif len(listed) >= _FEW and all(study.get("createdByApiKey") for study in listed):
        problem = f"all of {len(listed)} studies that the key sees were made with an API key: its scope looks like Self"
    else:
        return None
    remedy = "Make a key with the study scope All in AutoScribe's dashboard, unless this is all there is."
    return ConfigError(configuration.source, "upstream.api_key", problem, remedy)


async def _pdf(configuration: Configuration, client: UpstreamClient, listed: Sequence[Json]) -> ConfigError | None:
    """Try to download the PDF of one signed report; return the fault if that fails."""
    named = [one for study in listed for one in study.get("reportIds") or ()]
    signed = [one["reportId"] for one in named if one["status"] == "completed"]
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
    """Try to open the database, and report webhooks with bad signatures."""
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


async def _unreachable(configuration: Configuration) -> list[ConfigError]:
    """Connect to all enabled destinations at the same time; return the faults in the order of the file."""
    destinations = [one for one in routes_of(configuration).destinations if one.is_enabled]
    faults = await asyncio.gather(*(_reached(one, configuration.source) for one in destinations))
    return [one for one in faults if one is not None]


async def _reached(destination: Destination, source: str) -> ConfigError | None:
    """Connect (with the TLS handshake, if any) and disconnect without sending; return the fault if that fails."""
    transport = destination.transport
    endpoint = transport.endpoint
    if endpoint is None:
        return None
    try:
        async with await Connection.open(endpoint) as connection:
            await clock.sleep(_LISTEN)
            if connection.usable:
                return None
        problem = "closed by the receiver at once"
    except ConnectFailed as error:
        problem = str(error).partition(f"{error.code}, ")[2]
    key, remedy = next((way for part, way in _WAYS.items() if part in problem), _ANY_WAY)
    key = key if transport.kind in ONLY_OF[key] else transport.key
    return ConfigError(source, f"{destination.place}.{key}", f"cannot be reached: {problem}", remedy)
