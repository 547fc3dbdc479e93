"""OperationOutcomes in the form that tests compare."""

from __future__ import annotations

from typing import Any

import httpx


def issue(response: httpx.Response) -> dict[str, Any]:
    """Return the only issue of an OperationOutcome; `detail` is our code."""
    assert response.headers["content-type"] == "application/fhir+json; charset=utf-8"
    body = response.json()
    assert body["resourceType"] == "OperationOutcome"
    [found] = body["issue"]
    return {**found, "detail": found.get("details", {}).get("coding", [{}])[0].get("code")}


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, severity and issue code."""
    found = issue(response)
    return response.status_code, found["severity"], found["code"]
