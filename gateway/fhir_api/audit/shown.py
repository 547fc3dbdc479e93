"""Collect during a request what its answer shows: which resources, of which patients; and which parameters it had.

https://profiles.ihe.net/ITI/BALP/ (Patient Read, Patient Query): an event names the resources and the patients.
Proved by tests/gateway/fhir_api/audit/test_audited.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from gateway.audit.audit_entry import EntryAbout
from gateway.fhir_api.http.outcome import Issue
from gateway.fhir_api.http.query import Parameters
from gateway.store.studies.search import Version

SHOWN: Final = "gateway.shown"  # scope key
ID: Final = "_id"
_PATIENT: Final = "Patient/"
# As `json_bytes` writes it; inside a text the quotes would have backslashes
_REFERENCE: Final = b'"reference":"Patient/'
# Ids that the gateway gives out
_OWN: Final = re.compile(
    r"(?:pat|org|usr|stu)-[0-9a-f]{32}|stu-[0-9a-f]{32}-(?:req[0-9]*|enc-[0-9a-f]{16})|rep-[0-9a-f]{32}(?:-(?:doc|prov|pdf|text))?"
)


class Shown:
    """Resources and patients that the answer to a request shows so far, in order; `given` are its parameters."""

    __slots__ = ("addresses", "given", "patients")

    def __init__(self) -> None:
        self.addresses: dict[str, None] = {}
        self.patients: dict[str, None] = {}
        self.given: Parameters = ()

    def add(self, address: str) -> None:
        """Add the address of a resource."""
        self.addresses[address] = None
        if address.startswith(_PATIENT):
            self.patients[address[len(_PATIENT) :]] = None

    def counted(self) -> EntryAbout:
        """Return the addresses of resources and of patients, each with their number."""
        return tuple(self.addresses), len(self.addresses), tuple(self.patients), len(self.patients)

    def ask_for(self, resource_type: str, resource_id: str) -> None:
        """Add the resource in the path. An id that the gateway never gave out may be a patient's number: a value."""
        address = f"{resource_type}/{resource_id}"
        if address not in self.addresses:
            if _OWN.fullmatch(resource_id):
                self.addresses[address] = None
            else:
                self.given = (*self.given, (ID, resource_id))


def show(scope: Scope, versions: Iterable[Version], issues: Iterable[Issue] = ()) -> None:
    """Record that the answer shows these versions and issues. Give versions whole: their bytes name the patients."""
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
    """Record the parameters in the body of a request."""
    shown: Shown | None = scope.get(SHOWN)
    if shown is not None:
        shown.given = parameters
