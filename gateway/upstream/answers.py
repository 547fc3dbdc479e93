"""Check AutoScribe's answers strictly: JSON in the shape of the API contract, about the requested object.

AutoScribe REST API, state of November 2026; shapes in `mappings.study.wire`. Errors name a JSON pointer, never a value.
Proved by tests/gateway/upstream/test_failures.py and tests/gateway/upstream/test_client.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.runtime.errors import UpstreamAmbiguous, UpstreamNotUnderstood
from mappings.issues import MappingIssue, WireError
from mappings.study import wire

_ANY_OBJECT: Final = wire.Kind(dict, "an object")
_ENVELOPE: Final[wire.Shape] = {"hasMore": (wire.BOOLEAN, "R"), "cursor": (wire.TEXT, "O")}


@dataclass(frozen=True, slots=True)
class ReceivedAnswer:
    """Whole 2xx answer as received: the bytes of its body and the upstream request id."""

    operation: str
    status: int
    body: bytes
    request_id: str | None

    def not_understood(self, detail: str) -> UpstreamNotUnderstood:
        """Return the error for an answer that does not follow the contract; `detail` has pointers, never values."""
        return UpstreamNotUnderstood(self.operation, status=self.status, request_id=self.request_id, detail=detail)


@dataclass(frozen=True, slots=True)
class Answer:
    """Checked answer: the JSON object as received, issues for what the contract leaves open, and the request id."""

    value: dict[str, Any]
    issues: tuple[MappingIssue, ...] = ()
    request_id: str | None = None


def read(received: ReceivedAnswer, shape: wire.Shape, expected: Mapping[str, str]) -> Answer:
    """Return the answer as an object of that shape whose `expected` keys have the requested values.

    Raises:
        UpstreamNotUnderstood: no JSON, another shape, or an answer about another object.
    """
    return _answer(received, _loads(received), shape, expected)


def read_single(received: ReceivedAnswer, shape: wire.Shape, report_id: str) -> Answer:
    """Return one report's text or PDF link; if a list arrives, take the report from it, with an issue.

    Raises:
        UpstreamNotUnderstood: as `read`, or the list does not have the report exactly once.
    """
    value = _loads(received)
    if not isinstance(value, dict) or "reports" not in value:
        return _answer(received, value, shape, {"reportId": report_id})
    items = value["reports"] if isinstance(value["reports"], list) else []
    asked = [item for item in items if isinstance(item, dict) and item.get("reportId") == report_id]
    if len(asked) != 1:
        raise received.not_understood(f"/reports: expected the report asked for once, found it {len(asked)} times")
    issue = MappingIssue("list-for-single", "information", "/reports", "the report asked for was taken out of the list")
    return _answer(received, asked[0], shape, {"reportId": report_id}, issue)


def read_list(received: ReceivedAnswer, item: wire.Shape, shape: wire.Shape, expected: Mapping[str, str]) -> Answer:
    """Return all reports' texts or PDF links of a study; if a single one arrives, make a list of it, with an issue.

    Raises:
        UpstreamNotUnderstood: as `read`.
    """
    value = _loads(received)
    if not isinstance(value, dict) or "reports" in value or "reportId" not in value:
        return _answer(received, value, shape, expected)
    single = _answer(received, value, item, expected)
    issue = MappingIssue("single-for-list", "information", "", "made a list of one")
    study = {key: value[key] for key in ("studyId", "studyInstanceUid")}
    return Answer({"reports": [value], **study}, (*single.issues, issue), received.request_id)


def read_page(received: ReceivedAnswer, key: str, shape: wire.Shape) -> Answer:
    """Return one page of a listing. A malformed element is left out, with an error issue.

    Raises:
        UpstreamNotUnderstood: no JSON, or the page's envelope does not follow the contract.
    """
    value = _loads(received)
    envelope: wire.Shape = {**_ENVELOPE, key: (wire.Kind(list, "an array", items=_ANY_OBJECT), "R")}
    page = _answer(received, value, envelope, {})
    issues, kept = list(page.issues), []
    for index, element in enumerate(page.value[key]):
        try:
            issues += wire.check(element, shape, f"/{key}/{index}")
            kept.append(element)
        except WireError as error:
            action = f"expected {error.expected}, found {error.found}; left out of the page"
            issues.append(MappingIssue("element-not-understood", "error", error.pointer, action))
    if page.value["hasMore"] and not page.value.get("cursor"):
        issues.append(MappingIssue("cursor-absent", "warning", "/cursor", "taken as the last page"))
    return Answer({**page.value, key: kept}, tuple(issues), received.request_id)


def read_action(received: ReceivedAnswer) -> Answer:
    """Return the answer to a POST, as `{success, message}`.

    Raises:
        UpstreamAmbiguous: the answer is malformed, so that the result of the request is unknown.
    """
    try:
        return read(received, wire.ACTION_RESPONSE, {})
    except UpstreamNotUnderstood as error:
        detail = error.detail
    raise UpstreamAmbiguous(received.operation, status=received.status, request_id=received.request_id, detail=detail)


def next_cursor(page: Answer) -> str | None:
    """Return the cursor of the next page, or None after the last one."""
    return page.value.get("cursor") or None if page.value["hasMore"] else None


def _loads(received: ReceivedAnswer) -> Any:
    try:
        return wire.loads(received.body)
    except WireError as error:
        raise received.not_understood(str(error)) from None


def _answer(
    received: ReceivedAnswer, value: Any, shape: wire.Shape, expected: Mapping[str, str], *issues: MappingIssue
) -> Answer:
    try:
        issues_found = wire.check(value, shape)
    except WireError as error:
        raise received.not_understood(str(error)) from None
    for key, asked in expected.items():
        if value[key] != asked:
            raise received.not_understood(f"/{key}: expected the one asked for, found another")
    return Answer(value, (*issues_found, *issues), received.request_id)
