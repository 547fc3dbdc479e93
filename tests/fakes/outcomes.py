"""OperationOutcomes as tests look at them."""

from __future__ import annotations

from typing import Any

import httpx


def issue(response: httpx.Response) -> dict[str, Any]:
    """The one issue of an OperationOutcome; `detail` is our code."""
    assert response.headers["content-type"] == "application/fhir+json; charset=utf-8"
    body = response.json()
    assert body["resourceType"] == "OperationOutcome"
    [found] = body["issue"]
    return {**found, "detail": found.get("details", {}).get("coding", [{}])[0].get("code")}


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    """Status, severity and issue code."""
    found = issue(response)
    return response.status_code, found["severity"], found["code"]
