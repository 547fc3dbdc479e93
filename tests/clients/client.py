"""Interface that these tests use of a FHIR client; each client library has an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]
Params = Sequence[tuple[str, str]]
NOTHING = {"resourceType": "Parameters"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Error as a client library reports it: the exception type, and the OperationOutcome."""

    error: str
    outcome: Json


class FhirClient(Protocol):
    """A client of one FHIR base.

    `errors`: the type that it raises for a status, None for any other. `has_primitive_extensions`: its models have a
    place for the extensions of primitive values (`_birthDate`).
    """

    errors: Mapping[int | None, str]
    has_primitive_extensions: bool

    def capability(self) -> Json:
        """The CapabilityStatement."""

    def find(self, kind: str, params: Params) -> list[Json]:
        """Return all resources that the client library returns when it pages through a search."""

    def page(self, kind: str, params: Params) -> Json:
        """The first page of a search, with all that comes with the matches."""

    def read(self, reference: str) -> Json:
        """Return the resource that a reference leads to."""

    def vread(self, reference: str, version: str) -> Json:
        """One version of it."""

    def refusal(self, method: str, path: str) -> Refusal:
        """Return the error that the client library raises; a POST has `NOTHING` as its body."""


def without_primitive_extensions(value: Any) -> Any:
    """Leave out the extensions of primitive values."""
    if isinstance(value, dict):
        return {name: without_primitive_extensions(one) for name, one in value.items() if not name.startswith("_")}
    return [without_primitive_extensions(one) for one in value] if isinstance(value, list) else value


def matches(bundle: Json) -> list[Json]:
    """The resources of a page that were asked for."""
    return of_mode(bundle, "match")


def of_mode(bundle: Json, mode: str) -> list[Json]:
    """The resources of a page that are there for this reason."""
    return [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == mode]
