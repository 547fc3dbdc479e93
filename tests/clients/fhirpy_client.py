"""fhirpy, in its two forms: the synchronous client (requests) and the asynchronous one (aiohttp)."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any

from clients.client import NOTHING, Json, Params, Refusal
from fakes.databases import at_once
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import BaseFHIRError
from fhirpy.base.searchset import Raw

ERRORS: dict[int | None, str] = {404: "ResourceNotFound", None: "OperationOutcome"}


def _raw(params: Params) -> Raw:
    return Raw(**{name: [value for key, value in params if key == name] for name, _ in params})


def _plain(value: Any) -> Any:
    """As JSON, without the client's own dictionaries and resources."""
    return json.loads(json.dumps(value))


def _refusal(error: BaseFHIRError) -> Refusal:
    """Some of fhirpy's errors hold the outcome as a resource, some as the text of the body."""
    outcome = getattr(error, "resource", None) or json.loads(str(error))
    return Refusal(type(error).__name__, outcome)


class Fhirpy:
    """The synchronous client."""

    errors = ERRORS
    has_primitive_extensions = True

    def __init__(self, base: str) -> None:
        self.client = SyncFHIRClient(base)

    def capability(self) -> Json:
        return _plain(self.client.execute("metadata", method="get"))

    def find(self, kind: str, params: Params) -> list[Json]:
        return [one.serialize() for one in self.client.resources(kind).search(_raw(params))]

    def page(self, kind: str, params: Params) -> Json:
        return _plain(self.client.resources(kind).search(_raw(params)).fetch_raw())

    def read(self, reference: str) -> Json:
        return _plain(self.client.get(*reference.split("/")))

    def vread(self, reference: str, version: str) -> Json:
        return _plain(self.client.execute(f"{reference}/_history/{version}", method="get"))

    def refusal(self, method: str, path: str) -> Refusal:
        try:
            self.client.execute(path, method=method, data=NOTHING if method == "post" else None)
        except BaseFHIRError as error:
            return _refusal(error)
        raise AssertionError("it was not refused")


class AsyncFhirpy:
    """The asynchronous client, each call on a loop of its own."""

    errors = ERRORS
    has_primitive_extensions = True

    def __init__(self, base: str) -> None:
        self._client = AsyncFHIRClient(base)

    def capability(self) -> Json:
        return self._at_once(self._client.execute("metadata", method="get"))

    def find(self, kind: str, params: Params) -> list[Json]:
        async def walk() -> list[Json]:
            return [one.serialize() async for one in self._client.resources(kind).search(_raw(params))]

        return self._at_once(walk())

    def page(self, kind: str, params: Params) -> Json:
        return self._at_once(self._client.resources(kind).search(_raw(params)).fetch_raw())

    def read(self, reference: str) -> Json:
        return self._at_once(self._client.get(*reference.split("/")))

    def vread(self, reference: str, version: str) -> Json:
        return self._at_once(self._client.execute(f"{reference}/_history/{version}", method="get"))

    def refusal(self, method: str, path: str) -> Refusal:
        try:
            self._at_once(self._client.execute(path, method=method, data=NOTHING if method == "post" else None))
        except BaseFHIRError as error:
            return _refusal(error)
        raise AssertionError("it was not refused")

    def _at_once(self, call: Coroutine[Any, Any, Any]) -> Any:
        return _plain(at_once(call))
