"""Switches of the AutoScribe look-alike: one for each behavior that AutoScribe's public contract leaves open.

Carries out no clause of a standard; `row` is the number in the contract's list of open questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from gateway.runtime.errors import ConfigError


def _switch(row: int, doc: str, default: str, *others: str) -> Any:
    return field(default=default, metadata={"row": row, "doc": doc, "choices": (default, *others)})


@dataclass(frozen=True, slots=True)
class Switches:
    """Chosen answers where the contract is silent; the first choice of each switch is the default."""

    error_body: str = _switch(1, "body of an error", "error_object", "message", "errors_list", "text", "html", "empty")
    unknown_id: str = _switch(2, "status for an unknown id", "404", "400", "403", "422")
    no_selector: str = _switch(2, "status when no selector is given", "422", "400", "404")
    addendum_unsigned: str = _switch(2, "status for an addendum on an unsigned report", "409", "422", "400", "404")
    addendum_twice: str = _switch(2, "status for an addendum while one is active", "409", "422", "400")
    cancel_none: str = _switch(2, "status for cancel-addendum with none active", "409", "422", "400", "404")
    key_scope: str = _switch(2, "studies the key may see: all, or those made with an API key", "all", "self")
    out_of_scope: str = _switch(2, "status for what the key may not see", "404", "403")
    selectors: str = _switch(3, "which of several selectors counts", "report_id", "study_id", "uid", "refuse")
    no_reports: str = _switch(4, "reports of a study that has none", "empty", "404")
    report_order: str = _switch(5, "order of reports[]", "oldest_first", "newest_first", "shuffled")
    study_order: str = _switch(5, "order of studies[]", "newest_first", "oldest_first", "shuffled")
    addendum_parent: str = _switch(6, "whether an addendum names its original", "unsaid", "parent_report_id")
    addendum_text: str = _switch(7, "text of a signed addendum", "delta", "merged")
    cancel_takes: str = _switch(
        8, "whose id cancel-addendum takes (404 for the other)", "either", "original", "addendum"
    )
    addendum_reply: str = _switch(9, "what the addendum's answer says of the new report", "nothing", "report_id")
    action_message: str = _switch(10, "`message` of an action", "absent", "present")
    action_success: str = _switch(10, "`success` of an action; with false nothing is done", "true", "false")
    webhook_attempts: str = _switch(11, "how often a webhook is tried", "4", "1", "10")
    webhook_accepts: str = _switch(11, "what counts as received", "2xx", "success_true")
    webhook_order: str = _switch(11, "order of webhooks", "in_order", "swapped")
    webhook_copies: str = _switch(11, "how often each webhook is sent", "once", "twice")
    addendum_event: str = _switch(12, "whether a signed addendum makes an event", "yes", "no")
    webhook_id: str = _switch(13, "webhook-id header", "body_id", "other")
    webhook_signatures: str = _switch(13, "signatures in the header", "one", "rotated")
    webhook_fields: str = _switch(13, "optional fields of the event", "all", "none")
    rate_limit: str = _switch(14, "requests per second before 429", "none", "1", "5", "20", "100")
    study_time: str = _switch(15, "form of studyTime", "minutes", "seconds", "fraction")
    accession: str = _switch(16, "accession number in the study's metadata", "absent", "metadata")
    null_filter: str = _switch(17, "a filter with an empty value", "is_null", "ignored", "refuse")
    external_reports: str = _switch(18, "/reports of an external study", "404", "empty", "data")
    pdf_unsigned: str = _switch(19, "unsigned reports among the PDFs", "omitted", "listed")
    pdf_type: str = _switch(19, "content type of a PDF", "application/pdf", "application/octet-stream", "absent")
    revoked_user: str = _switch(20, "a user whose access was revoked", "404", "found")
    drift: str = _switch(
        21, "what differs from the contract", "none",
        "unknown_fields", "unknown_codes", "null_optional", "absent_nullable", "old_names", "all",
    )  # fmt: skip
    unsigned_text: str = _switch(21, "text of an unsigned report", "present", "absent")
    cursor: str = _switch(22, "life of a cursor, pages while data changes", "stable", "repeats", "skips", "once")
    last_cursor: str = _switch(22, "`cursor` of the last page", "absent", "empty", "present")


def table() -> tuple[tuple[str, int, tuple[str, ...], str], ...]:
    """List every switch as (name, row of the contract's list, choices with the default first, description)."""
    return tuple(
        (one.name, one.metadata["row"], one.metadata["choices"], one.metadata["doc"]) for one in fields(Switches)
    )


def parse_switches(given: Sequence[str], source: str = "--switch") -> Switches:
    """Parse `name=value` settings.

    Raises:
        ConfigError: no such switch, or no such answer; the error lists the valid ones.
    """
    known = {name: choices for name, _, choices, _ in table()}
    chosen: dict[str, str] = {}
    for setting in given:
        name, _, value = (part.strip() for part in setting.partition("="))
        name = name.replace("-", "_")
        if name not in known:
            raise ConfigError(source, name or "(empty)", "no such switch", f"Known: {', '.join(known)}.")
        if value not in known[name]:
            raise ConfigError(source, name, "no such answer", f"Write {name}= and one of {', '.join(known[name])}.")
        chosen[name] = value
    return replace(Switches(), **chosen)
