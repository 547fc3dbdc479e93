"""What a FHIR client is asked to do here, whoever wrote it: one adapter each says it in that client's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]
Params = Sequence[tuple[str, str]]
NOTHING = {"resourceType": "Parameters"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a client tells of an error: the type it raises, and the OperationOutcome that it hands on."""

    error: str
    outcome: Json


class FhirClient(Protocol):
    """A client of one FHIR base. `errors`: the type that it raises for a status, None for any other."""

    errors: Mapping[int | None, str]

    def capability(self) -> Json:
        """The CapabilityStatement."""

    def find(self, kind: str, params: Params) -> list[Json]:
        """What a program gets that has the client walk through all pages of a search, whatever that is."""

    def page(self, kind: str, params: Params) -> Json:
        """The first page of a search, with all that comes with the matches."""

    def read(self, reference: str) -> Json:
        """What a reference leads to."""

    def vread(self, reference: str, version: str) -> Json:
        """One version of it."""

    def refusal(self, method: str, path: str) -> Refusal:
        """What the client makes of an answer that is an error; a POST has `NOTHING` as its body."""


def matches(bundle: Json) -> list[Json]:
    """The resources of a page that were asked for."""
    return of_mode(bundle, "match")


def of_mode(bundle: Json, mode: str) -> list[Json]:
    """The resources of a page that are there for this reason."""
    return [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == mode]
