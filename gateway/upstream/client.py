"""HTTP client of the AutoScribe REST API, with retries and checked answers.

AutoScribe REST API, state of November 2026. GETs are retried as `retry` decides, POSTs never once they may have
arrived. A failure stays a value until it is raised, so that no exception keeps a request with the key or a presigned
URL.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar, Unpack

import httpx

from gateway.runtime import clock
from gateway.runtime.errors import (
    ConfigError,
    PdfInterrupted,
    PdfUnavailable,
    UpstreamConflict,
    UpstreamError,
    UpstreamNotFound,
)
from gateway.runtime.log import get_logger
from gateway.settings import Pdf, Upstream
from gateway.upstream import answers, failures, pdf_stream, query, retry
from gateway.upstream.answers import Answer, ReceivedAnswer
from gateway.upstream.connections import ApiConnections, pdf_client
from gateway.upstream.failures import Breakage, Failure
from gateway.upstream.pdf_stream import AllowedHosts, PdfStream
from gateway.upstream.query import StudyFilters, UserFilters
from mappings.study import wire

for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)  # they log whole URLs, even presigned ones

Outcome = TypeVar("Outcome", ReceivedAnswer, httpx.Response)

# Called for each request: its operation, the status of its answer (None: no answer), and its seconds
Observe = Callable[[str, int | None, float], None]

REQUESTS: Final = 8
"""Most requests to AutoScribe at one time, unless the crawl's pace says otherwise; PDF downloads are counted apart."""
_API: Final = "/v1/autoScribe"
_PDF_STORE: Final = "GET pdf-store"
_PAGE_SIZE: Final = "100"
_BROKEN: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.LocalProtocolError,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


def unobserved(operation: str, status: int | None, seconds: float) -> None:
    """Do nothing."""


class UpstreamClient:
    """Client of AutoScribe. Use as `async with UpstreamClient(settings.upstream, settings.pdf) as client`.

    Every method raises a leaf of `UpstreamError`, and `BadRequest` for a malformed id.
    """

    def __init__(
        self,
        upstream: Upstream,
        pdf: Pdf,
        *,
        policy: retry.Policy | None = None,
        requests: int = REQUESTS,
        observe: Observe = unobserved,
    ) -> None:
        """Open no connection yet; `policy` is the usual one if not given, and `observe` is called for every request.

        Raises:
            ConfigError: there is no API key.
        """
        if upstream.api_key is None:
            remedy = "Make a key with scope All in AutoScribe's dashboard and set AVARA_API_KEY."
            raise ConfigError("environment", "AVARA_API_KEY", "missing", remedy)
        self._settings, self._observe = upstream, observe
        self._policy = policy or retry.USUAL
        self._hosts = AllowedHosts.of(pdf.allowed_hosts, upstream.base_url)
        self._slots = asyncio.Semaphore(requests)
        self._pdf_slots = asyncio.Semaphore(requests)
        key = {"Authorization": f"Bearer {upstream.api_key.get_secret_value()}", "Accept": "application/json"}
        self._api, self._storage = ApiConnections(upstream, key), pdf_client(upstream, requests)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._api.aclose()
        await self._storage.aclose()

    async def reports(self, *, study_id: str | None = None, study_instance_uid: str | None = None) -> Answer:
        """Read all reports of a study (`GET /reports`). Without any: an empty list or `UpstreamNotFound`."""
        chosen = query.selector(study_id, study_instance_uid)
        return answers.read(await self._get("/reports", parameters=chosen), wire.REPORT_LIST, chosen)

    async def report_texts(self, *, study_id: str | None = None, study_instance_uid: str | None = None) -> Answer:
        """Read the texts of a study's reports (`GET /reports/text`), as `{reports: […], studyId, studyInstanceUid}`."""
        chosen = query.selector(study_id, study_instance_uid)
        received = await self._get("/reports/text", parameters=chosen)
        return answers.read_list(received, wire.REPORT_TEXT, wire.REPORT_TEXT_LIST, chosen)

    async def report_text(self, report_id: str) -> Answer:
        """Read one report's text (`GET /reports/text?reportId=`): `value["studyId"]` names its study."""
        chosen = {"reportId": query.checked("report id", report_id)}
        received = await self._get("/reports/text", parameters=chosen)
        return answers.read_single(received, wire.REPORT_TEXT, report_id)

    async def report_pdfs(self, *, study_id: str | None = None, study_instance_uid: str | None = None) -> Answer:
        """Read the presigned PDF links of a study's reports (`GET /reports/pdf`). The links are secrets."""
        chosen = query.selector(study_id, study_instance_uid)
        received = await self._get("/reports/pdf", parameters=chosen)
        return answers.read_list(received, wire.REPORT_PDF, wire.REPORT_PDF_LIST, chosen)

    async def report_pdf(self, report_id: str) -> Answer:
        """Read one report's presigned PDF link (`GET /reports/pdf?reportId=`), a secret that is valid for an hour."""
        chosen = {"reportId": query.checked("report id", report_id)}
        received = await self._get("/reports/pdf", parameters=chosen)
        return answers.read_single(received, wire.REPORT_PDF, report_id)

    async def open_addendum(self, report_id: str) -> Answer:
        """Open an addendum to a signed report (`POST …/addendum`). Never sent twice.

        Raises:
            UpstreamAmbiguous: it may have been opened: read the study before another try.
            UpstreamConflict: 409, or AutoScribe answered `success: false`.
        """
        return await self._act("addendum", report_id)

    async def cancel_addendum(self, report_id: str) -> Answer:
        """Cancel an active addendum (`POST …/cancel-addendum`). Never sent twice; raises as `open_addendum`."""
        return await self._act("cancel-addendum", report_id)

    async def study(self, study_id: str) -> Answer:
        """Read one study (`GET /studies/{studyId}`)."""
        received = await self._get("/studies/{}", query.segment("study id", study_id))
        return answers.read(received, wire.STUDY, {"studyId": study_id})

    async def study_by_uid(self, study_instance_uid: str) -> Answer:
        """Read one study by its DICOM UID (`GET /studies/by-uid/{studyInstanceUid}`)."""
        received = await self._get("/studies/by-uid/{}", query.segment("study instance UID", study_instance_uid))
        return answers.read(received, wire.STUDY, {"studyInstanceUid": study_instance_uid})

    async def studies(self, **filters: Unpack[StudyFilters]) -> AsyncGenerator[Answer, None]:
        """Yield the pages of `GET /studies`: each study once, also when pages overlap (see `answers.read_page`)."""
        async for page in self._pages("studies", wire.STUDY, "studyId", filters):
            yield page

    async def user(self, user_id: str) -> Answer | None:
        """Read one user (`GET /users/{userId}`); None if AutoScribe does not know it (its access was revoked)."""
        try:
            received = await self._get("/users/{}", query.segment("user id", user_id))
        except UpstreamNotFound:
            return None
        return answers.read(received, wire.USER, {"userId": user_id})

    async def users(self, **filters: Unpack[UserFilters]) -> AsyncGenerator[Answer, None]:
        """Yield the pages of `GET /users`, as `studies`."""
        async for page in self._pages("users", wire.USER, "userId", filters):
            yield page

    @asynccontextmanager
    async def stream_pdf(self, report_id: str) -> AsyncIterator[PdfStream]:
        """Open a report's PDF for streaming; on entry its first bytes have been checked to be a PDF's.

        Raises:
            PdfUnavailable: no link to an allowed host, or the answer is no PDF or too large; also while reading.
            PdfInterrupted: the host of the PDFs failed or broke off; also while reading.
        """
        async with self._pdf_slots:
            response = await self._open_pdf(report_id)
            try:
                async with aclosing(_pdf_chunks(response)) as chunks:
                    yield await pdf_stream.begin(response.headers, chunks, self._settings.max_pdf_bytes)
            finally:
                await response.aclose()

    async def _get(self, path: str, segment: str = "", parameters: Mapping[str, str] | None = None) -> ReceivedAnswer:
        return await self._persist(
            lambda: self._exchange(f"GET {path}", "GET", path.format(segment), parameters=parameters or {})
        )

    async def _act(self, action: str, report_id: str) -> Answer:
        operation, path = f"POST /reports/{{}}/{action}", f"/reports/{query.segment('report id', report_id)}/{action}"
        received = await self._persist(lambda: self._exchange(operation, "POST", path, parameters={}))
        answer = answers.read_action(received)
        if not answer.value["success"]:
            detail = "success is false"
            raise UpstreamConflict(operation, status=received.status, request_id=received.request_id, detail=detail)
        return answer

    async def _pages(
        self, key: str, shape: wire.Shape, id_key: str, filters: Mapping[str, object]
    ) -> AsyncGenerator[Answer, None]:
        parameters = {"limit": _PAGE_SIZE, **query.filters(filters)}
        known: set[str] = set()
        cursors: set[str] = set()
        while True:
            received = await self._get(f"/{key}", parameters=parameters)
            page = answers.read_page(received, key, shape)
            fresh = [element for element in page.value[key] if element[id_key] not in known]
            known.update(element[id_key] for element in fresh)
            yield replace(page, value={**page.value, key: fresh})
            cursor = answers.next_cursor(page)
            if cursor is None:
                return
            if cursor in cursors:
                raise received.not_understood("/cursor: expected a new one, found one that came before")
            cursors.add(cursor)
            parameters["cursor"] = cursor

    async def _persist(self, once: Callable[[], Awaitable[Outcome | Failure]]) -> Outcome:
        attempt = 1
        while isinstance(outcome := await once(), Failure):
            if not outcome.repeatable or attempt >= self._policy.attempts:
                raise outcome.error
            await clock.sleep(self._policy.delay(attempt, outcome.error.retry_after))
            attempt += 1
        return outcome

    async def _exchange(
        self, operation: str, method: str, path: str, *, parameters: Mapping[str, str]
    ) -> ReceivedAnswer | Failure:
        began = clock.monotonic()
        outcome = await self._attempt(operation, method, path, parameters)
        status = outcome.error.status if isinstance(outcome, Failure) else outcome.status
        seconds = clock.monotonic() - began
        self._observe(operation, status, seconds)
        _trace(operation, status, seconds)
        return outcome

    async def _attempt(
        self, operation: str, method: str, path: str, parameters: Mapping[str, str]
    ) -> ReceivedAnswer | Failure:
        headers = {} if method == "GET" else {"Content-Type": "application/json"}
        url = self._settings.base_url + _API + path
        async with self._slots:
            try:
                async with asyncio.timeout(self._settings.timeout):
                    async with self._api.answer(method, url, parameters, headers) as response:
                        return await self._receive(operation, method, response)
            except TimeoutError:
                return failures.of_connection(operation, method, Breakage("upstream.timeout", timed_out=True))
            except _BROKEN as error:
                return failures.of_connection(operation, method, _breakage(error))

    async def _receive(self, operation: str, method: str, response: httpx.Response) -> ReceivedAnswer | Failure:
        status, headers = response.status_code, response.headers
        if status // 100 != 2:
            return failures.of_status(operation, method, status, headers, clock.now())
        if pdf_stream.is_compressed(headers):
            return failures.of_body(operation, method, status, headers, too_large=False)
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._settings.max_response_bytes:
                return failures.of_body(operation, method, status, headers, too_large=True)
        return ReceivedAnswer(operation, status, bytes(body), failures.request_id(headers))

    async def _open_pdf(self, report_id: str) -> httpx.Response:
        link = await self._pdf_link(report_id)
        try:
            return await self._persist(lambda: self._fetch_pdf(link))
        except PdfUnavailable as error:
            if error.status not in {403, 404}:  # statuses of an expired link
                raise
        fresh = await self._pdf_link(report_id)
        return await self._persist(lambda: self._fetch_pdf(fresh))

    async def _pdf_link(self, report_id: str) -> httpx.URL:
        answer = await self.report_pdf(report_id)
        link = _link(answer.value["presignedUrl"])
        refusal = self._hosts.refusal(link.scheme, link.host, link.port, userinfo=bool(link.userinfo))
        if refusal:
            raise PdfUnavailable(pdf_stream.OPERATION, request_id=answer.request_id, detail=refusal)
        return link

    async def _fetch_pdf(self, link: httpx.URL) -> httpx.Response | Failure:
        began = clock.monotonic()
        try:
            response = await self._storage.send(self._storage.build_request("GET", link), stream=True)
        except _BROKEN as error:
            _trace(_PDF_STORE, None, clock.monotonic() - began)
            return Failure(_broken_pdf(error), repeatable=not _is_distrust(error))
        _trace(_PDF_STORE, response.status_code, clock.monotonic() - began)
        if response.status_code == 200:
            return response
        await response.aclose()
        status, wait = response.status_code, retry.retry_after(response.headers, clock.now())
        repeatable = retry.may_repeat("GET", status, None)
        kind = PdfInterrupted if repeatable else PdfUnavailable
        return Failure(kind(pdf_stream.OPERATION, status=status, retry_after=wait), repeatable)


def _trace(operation: str, status: int | None, seconds: float) -> None:
    """Log a request at `log.level` debug by the template of its route, never an id or a URL."""
    method, _, route = operation.partition(" ")
    get_logger().debug("upstream-asked", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def _link(text: str) -> httpx.URL:
    try:
        return httpx.URL(text)
    except httpx.InvalidURL:
        return httpx.URL("")


async def _pdf_chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    problem = None
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except _BROKEN as error:
        problem = _broken_pdf(error)
    if problem is not None:
        raise problem


def _breakage(error: Exception) -> Breakage:
    return Breakage(
        type(error).__name__,
        sent=not isinstance(error, _NOT_SENT),
        timed_out=isinstance(error, httpx.TimeoutException),
        trusted=not _is_distrust(error),
    )


def _broken_pdf(error: Exception) -> UpstreamError:
    kind = PdfUnavailable if _is_distrust(error) else PdfInterrupted
    return kind(pdf_stream.OPERATION, detail=type(error).__name__)


def _is_distrust(error: BaseException | None) -> bool:
    """True if the connection failed because the server's certificate is not trusted: a retry gives the same result."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
