"""Client of an EHR's FHIR API as SMART Backend Services: sign in, search patients and their reports, within a budget.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html, RFC 7523 §2.2, RFC 9110 §10.2.3 (Retry-After). Only
searches that EHRs offer are sent: Patient by `identifier`, or by `family`, `given` and `birthdate`; DiagnosticReport by
`patient` and `date` (Oracle has no search by its `identifier`). They are GETs, since few EHRs take another: patient
numbers stand in their URLs, which no log of ours has. Requests are spread evenly over the hour, those for tokens too.
Whatever is no whole answer is an error: an EHR that is down or throttles never says that a report is absent.
Proved by tests/gateway/feed/read_back/test_ehr.py.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from gateway.feed.read_back.compare import SearchPage, ShownPatient, ShownReport, read_page
from gateway.routing import Ehr
from gateway.runtime import clock
from gateway.runtime.client_key import ClientKey, read_client_key
from gateway.runtime.computing import computed
from gateway.runtime.errors import ConfigError, EhrUnavailable

SCOPES: Final = "system/Patient.rs system/DiagnosticReport.rs"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SECONDS: Final = 30.0  # for one request
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_TOKEN: Final = 64 * 1024
_PAGE: Final = 50
_MOST_PAGES: Final = 4
_EARLY: Final = 30.0  # seconds before its end at which a token is renewed
_USUAL_LIFE: Final = 300.0
_LONGEST_WAIT: Final = 86_400.0
_HOUR: Final = 3_600.0
_REFUSED: Final = frozenset({400, 422})


class SearchRefused(Exception):
    """The EHR refuses a search (400 or 422), or gives more than may be read: what it concerns cannot be checked."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class EhrClient:
    """Client of one EHR, on one event loop; `requests` counts what was sent. Its connections close with `close`.

    Every search raises `EhrUnavailable` if there is no usable answer, and `SearchRefused`.
    """

    def __init__(self, ehr: Ehr) -> None:
        self._ehr, self._between = ehr, _HOUR / ehr.requests_per_hour
        self._client: httpx.AsyncClient | None = None
        self._key: ClientKey | None = None
        self._token, self._until, self._free_at = "", 0.0, 0.0
        self.requests = 0

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def patients_numbered(self, system: str, value: str) -> list[ShownPatient]:
        """Return the patients who have this number; `system` is empty if it is unknown."""
        page = await self._page(self._url("Patient"), {"identifier": f"{system}|{value}" if system else value})
        if page.next:
            raise SearchRefused("patients-many")
        return [one for one in page.patients if _has(one, system, value)]

    async def patients_named(self, family: str, given: str, birth_date: str) -> list[ShownPatient]:
        """Return the patients of this name and birth date; SearchRefused if there are more than one page."""
        named = {"family": family, "given": given, "birthdate": birth_date}
        page = await self._page(self._url("Patient"), {key: value for key, value in named.items() if value})
        if page.next:
            raise SearchRefused("patients-many")
        return list(page.patients)

    async def reports(self, patient_id: str, since: date | None) -> list[ShownReport]:
        """Return the reports of a patient from a day on; SearchRefused if there are too many to read."""
        asked = {"patient": patient_id, "_count": str(_PAGE)} | ({"date": f"ge{since}"} if since else {})
        page = await self._page(self._url("DiagnosticReport"), asked)
        found = list(page.reports)
        for _ in range(_MOST_PAGES - 1):
            if not page.next:
                break
            page = await self._page(page.next, None)
            found += page.reports
        if page.next:
            raise SearchRefused("reports-many")
        if any(one.patient_id != patient_id for one in found):
            raise SearchRefused("reports-of-others")
        return found

    def _url(self, resource_type: str) -> str:
        return f"{self._ehr.url}/{resource_type}"

    async def _page(self, url: str, asked: Mapping[str, str] | None) -> SearchPage:
        """Return one page of a search; a page elsewhere than at the EHR's base is not asked for, nor given a token."""
        if not url.startswith(f"{self._ehr.url}/") and url.partition("?")[0] != self._ehr.url:
            raise EhrUnavailable("next-page-elsewhere")
        status, body = await self._asked(url, asked)
        if status == httpx.codes.UNAUTHORIZED:  # the token was revoked, or the EHR's clock is ahead
            self._token = ""
            status, body = await self._asked(url, asked)
        if status in _REFUSED:
            raise SearchRefused("search-refused")
        if status != httpx.codes.OK:
            raise EhrUnavailable(f"status-{status}")
        try:
            return await computed(read_page, body, url)
        except (ValueError, TypeError, AttributeError) as error:
            is_ours = str(error) in {"not-a-searchset", "search-incomplete"}
            raise EhrUnavailable(str(error) if is_ours else "not-understood") from None

    async def _asked(self, url: str, asked: Mapping[str, str] | None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {await self._bearer()}", "Accept": "application/fhir+json"}
        return await self._sent("GET", url, _MOST_BYTES, headers=headers, params=asked)

    async def _bearer(self) -> str:
        """Return an access token: the one at hand, or a new one.

        Raises:
            EhrUnavailable: there is none.
        """
        if self._token and clock.monotonic() < self._until:
            return self._token
        try:
            key = self._key = self._key or read_client_key(self._ehr.key_file, "settings", "ehr_key_file")
        except ConfigError:
            raise EhrUnavailable("key-unreadable") from None
        ehr, now = self._ehr, int(clock.now().timestamp())
        form = {
            "grant_type": "client_credentials",
            "scope": SCOPES,
            "client_assertion_type": _ASSERTION,
            "client_assertion": key.assertion(ehr.client_id, ehr.token_url, now),
        }
        begun = clock.monotonic()
        status, body = await self._sent("POST", ehr.token_url, _MOST_TOKEN, data=form)
        answer: Any = None
        with suppress(ValueError):
            answer = json.loads(body)
        if status != httpx.codes.OK or not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
            raise EhrUnavailable("token-refused")
        life = answer.get("expires_in")
        seconds = float(life) if isinstance(life, int | float) and not isinstance(life, bool) else _USUAL_LIFE
        self._token, self._until = answer["access_token"], begun + max(seconds / 2, seconds - _EARLY)
        return self._token

    async def _sent(self, method: str, url: str, most: int, **request: Any) -> tuple[int, bytes]:
        """Send a request once the budget allows it; return status and body.

        Raises:
            EhrUnavailable: no answer, one that is too large, or one that asks to wait.
        """
        await self._wait_for_budget()
        client = self._client = self._client or _opened()
        self.requests += 1
        try:
            async with asyncio.timeout(_SECONDS), client.stream(method, url, **request) as answer:
                body = bytearray()
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) > most:
                        raise SearchRefused("answer-too-large") if method == "GET" else EhrUnavailable("token-refused")
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, UnicodeError) as error:
            await self.close()
            raise EhrUnavailable("no-answer" if isinstance(error, httpx.HTTPError) else "too-slow") from None
        if (
            answer.status_code == httpx.codes.TOO_MANY_REQUESTS
            or answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
        ):
            raise EhrUnavailable(f"status-{answer.status_code}", _wait(answer.headers.get("Retry-After", "")))
        return answer.status_code, bytes(body)

    async def _wait_for_budget(self) -> None:
        now = clock.monotonic()
        start = max(now, self._free_at)
        self._free_at = start + self._between
        if start > now:
            await clock.sleep(start - now)


def _opened() -> httpx.AsyncClient:
    headers = {"Accept-Encoding": "identity"}  # a few compressed bytes could fill the memory
    verify = ssl.create_default_context()
    return httpx.AsyncClient(verify=verify, timeout=_SECONDS, trust_env=False, follow_redirects=False, headers=headers)


def _has(patient: ShownPatient, system: str, value: str) -> bool:
    """True if a patient has a number: an EHR may search more broadly than it was asked to."""
    return any(value == number and system in {"", own} for own, number in patient.numbers)


def _wait(said: str) -> float:
    """Return the seconds of a Retry-After, which is a number or an HTTP date; 0 if it is neither."""
    if said.strip().isdigit():
        return min(float(said), _LONGEST_WAIT)
    with suppress(ValueError, TypeError):
        at = parsedate_to_datetime(said)
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - clock.now()).total_seconds()
        return min(max(0.0, seconds), _LONGEST_WAIT)
    return 0.0
