"""Collect during a request which resources its answer shows, of which patients, and which parameters a body had.

https://profiles.ihe.net/ITI/BALP/ (Patient Read, Patient Query): an event names the resources and the patients.
Proved by tests/gateway/fhir_api/audit/test_audited.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from gateway.fhir_api.http.outcome import Issue
from gateway.fhir_api.http.query import Parameters
from gateway.store.studies.search import Version

SHOWN: Final = "gateway.shown"  # scope key
_PATIENT: Final = "Patient/"
# As `json_bytes` writes it; inside a text the quotes would have backslashes
_REFERENCE: Final = b'"reference":"Patient/'


class Shown:
    """Resources and patients that the answer of one request shows so far, in order; `given` are its parameters."""

    __slots__ = ("addresses", "given", "patients")

    def __init__(self) -> None:
        self.addresses: dict[str, None] = {}
        self.patients: dict[str, None] = {}
        self.given: Parameters = ()

    def add(self, address: str) -> None:
        """Note the address of a resource."""
        self.addresses[address] = None
        if address.startswith(_PATIENT):
            self.patients[address[len(_PATIENT) :]] = None


def show(scope: Scope, versions: Iterable[Version], issues: Iterable[Issue] = ()) -> None:
    """Note that the answer shows these versions and issues. Give versions whole: their bodies name the patients."""
    shown: Shown | None = scope.get(SHOWN)
    if shown is None:
        return
    patients = shown.patients
    for issue in issues:
        if issue.about:
            shown.add(issue.about)
    for one in versions:
        shown.add(one.address)
        body = one.body
        at = body.rfind(_REFERENCE)
        while at >= 0:  # a body is searched, not parsed: a page may have 500; from its end takes two thirds of the time
            begin = at + len(_REFERENCE)
            patients[body[begin : body.find(b'"', begin)].decode()] = None
            at = body.rfind(_REFERENCE, 0, at)


def give(scope: Scope, parameters: Parameters) -> None:
    """Note the parameters in the body of a request."""
    shown: Shown | None = scope.get(SHOWN)
    if shown is not None:
        shown.given = parameters
