"""Build paths and query strings of AutoScribe API requests from ids and filters.

AutoScribe REST API, state of November 2026: camelCase names, arrays as one comma-joined value, `true` and `false`, and
exactly one selector. The API would take several, but does not document which one wins.
Proved by tests/gateway/upstream/test_client.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict
from urllib.parse import quote

from gateway.runtime.request_errors import BadRequest


class StudyFilters(TypedDict, total=False):
    """Filters of `GET /studies` that the gateway uses; a list means any of its values, an empty list no filter.

    `cursor` is the cursor of the first page to read; empty for the first page of all.
    """

    assigned_to: str
    cursor: str
    express_customer_id: str
    is_cancelled: bool
    limit: int
    severity: str
    study_description: str
    study_report_status: Sequence[str]
    study_type: str


class UserFilters(TypedDict, total=False):
    """Filters of `GET /users`."""

    can_create_reports: bool
    email: str
    first_name: str
    last_name: str
    level: str
    limit: int


def selector(study_id: str | None, study_instance_uid: str | None) -> dict[str, str]:
    """Return the query parameter that selects a study by its one id.

    Raises:
        BadRequest: none or both are given, or the value cannot be an id.
    """
    given = {"studyId": study_id, "studyInstanceUid": study_instance_uid}
    query = {key: checked(key, value) for key, value in given.items() if value is not None}
    if len(query) != 1:
        raise BadRequest("exactly one of study id and study instance UID is needed")
    return query


def checked(kind: str, value: str) -> str:
    """Check that an id can be sent, and return it.

    Raises:
        BadRequest: it is empty, `.`, `..` or has characters that cannot be printed.
    """
    if value in {"", ".", ".."} or not value.isprintable():
        raise BadRequest(f"{kind}: empty, `.`, `..` or not printable")
    return value


def segment(kind: str, value: str) -> str:
    """Return an id as one percent-encoded segment of a path (RFC 3986 §3.3); raises as `checked`."""
    return quote(checked(kind, value), safe="")


def filters(given: Mapping[str, object]) -> dict[str, str]:
    """Return the filters as query parameters."""
    query = {}
    for name, value in given.items():
        first, *rest = name.split("_")
        text = _text(value)
        if text:
            query[first + "".join(word.capitalize() for word in rest)] = text
    return query


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list | tuple) else str(value)
