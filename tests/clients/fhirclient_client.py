"""fhirclient, SMART's own: what is answered goes through its models, which are strict, and comes out as JSON again."""

from __future__ import annotations

from typing import Any

import requests
from clients.client import NOTHING, Json, Params, Refusal
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.fhirelementfactory import FHIRElementFactory
from fhirclient.models.fhirsearch import FHIRSearch, FHIRSearchParam
from fhirclient.server import FHIRNotFoundException

ERRORS: dict[int | None, str] = {404: "FHIRNotFoundException", None: "HTTPError"}


class Fhirclient:
    """The client as an app without a launch uses it."""

    errors = ERRORS
    has_primitive_extensions = False

    def __init__(self, base: str) -> None:
        self.server = FHIRClient({"app_id": "acceptance", "api_base": base}).server
        assert self.server.prepare()

    def capability(self) -> Json:
        return self.server.capabilityStatement.as_json()

    def find(self, kind: str, params: Params) -> list[Json]:
        return [one.as_json() for one in self._search(kind, params).perform_resources_iter(self.server)]

    def page(self, kind: str, params: Params) -> Json:
        return Bundle.read_from(self._search(kind, params).construct(), self.server).as_json()

    def read(self, reference: str) -> Json:
        kind, resource_id = reference.split("/")
        return self._class(kind).read(resource_id, self.server).as_json()

    def vread(self, reference: str, version: str) -> Json:
        kind, _ = reference.split("/")
        return self._class(kind).read_from(f"{reference}/_history/{version}", self.server).as_json()

    def data(self, url: str, content_type: str) -> bytes:
        """The bytes behind the URL of an attachment."""
        return self.server.request_data(url, headers={"Accept": content_type})

    def refusal(self, method: str, path: str) -> Refusal:
        try:
            self.server.request_json(path) if method == "get" else self.server.post_json(path, NOTHING)
        except (FHIRNotFoundException, requests.HTTPError) as error:
            return Refusal(type(error).__name__, error.response.json())
        raise AssertionError("it was not refused")

    def _search(self, kind: str, params: Params) -> FHIRSearch:
        search = FHIRSearch(self._class(kind))
        search.params = [FHIRSearchParam(*one) for one in params]
        return search

    def _class(self, kind: str) -> Any:
        return type(FHIRElementFactory.instantiate(kind, None))
