"""Events that AutoScribe sends: whether one is genuine, what it says, and what of it is kept.

Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md);
AutoScribe REST API, webhooks `report.delivered` and `patient_study.enrichment_requested` (decisions D18, D25).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Any, Final, Literal, Protocol

from standardwebhooks import Webhook

from mappings.wire import REPORT_ID, STUDY_ID, Kind, Shape, check, loads

TOLERANCE: Final = timedelta(minutes=5)
REPORT_DELIVERED: Final = "report.delivered"
ENRICHMENT_REQUESTED: Final = "patient_study.enrichment_requested"
Refusal = Literal["unsigned", "wrong-signature", "wrong-time"]

_MOST_SIGNATURES: Final = 32
_HEADERS: Final = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,256}")
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,10}")
_WORD: Final = Kind(str, "1 to 256 visible ASCII characters", pattern=_VISIBLE)
_VALUE: Final = Kind(
    str, "at most 256 characters, none of control", pattern=re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,256}")
)
_UID: Final = Kind(str, "a DICOM UID", pattern=re.compile(r"[^\x00-\x20\x7f\ud800-\udfff]{1,256}"))
_EVENT: Final[Shape] = {"id": (_WORD, "R"), "type": (_WORD, "R")}
_DELIVERED: Final[Shape] = {"reportId": (REPORT_ID, "R"), "studyId": (STUDY_ID, "R"), "studyInstanceUid": (_UID, "O")}
_ENRICHMENT: Final[Shape] = {
    "studyInstanceUid": (_UID, "R"),
    "accessionNumber": (_VALUE, "O"),
    "patientId": (_VALUE, "O"),
}


class RecordedEvent(Protocol):
    """A `report.delivered` that was recorded: `body` as `delivered` gave it, `attempts` made to work it off."""

    @property
    def webhook_id(self) -> str:
        """The header `webhook-id`."""

    @property
    def body(self) -> Mapping[str, Any]:
        """`reportId`, `studyId` and, where known, `studyInstanceUid`."""

    @property
    def attempts(self) -> int:
        """How often `again` was called for it."""


class Webhooks(Protocol):
    """Where deliveries are kept, durably, until they are worked off; ids for at least a week after."""

    async def record(
        self, webhook_id: str, event_id: str, kind: str, body: Mapping[str, Any], received: datetime
    ) -> bool:
        """Keep a delivery, due at once; on disk when this returns.

        False, and nothing is changed, where its webhook id or its event id was recorded before (a replay). The caller
        may be cancelled while it waits: the delivery is then recorded or not, and the sender repeats it.
        """

    async def set_aside(
        self, webhook_id: str, event_id: str, kind: str, body: Mapping[str, Any], received: datetime
    ) -> bool:
        """Keep a delivery of a kind that is not known, for somebody to look at; it is never due. Else as `record`."""

    async def due(self, now: datetime, most: int) -> Sequence[RecordedEvent]:
        """Deliveries not done whose time has come, the longest due first."""

    async def done(self, webhook_id: str, code: str = "") -> None:
        """It needs no more work; with a code it was given up, and why. Twice is no error."""

    async def again(self, webhook_id: str, at: datetime, code: str) -> None:
        """It is due again then; one attempt more."""


class Enrichments(Protocol):
    """Where accession numbers and patient ids are kept by study UID, durably."""

    async def keep(
        self, study_instance_uid: str, accession_number: str | None, patient_id: str | None, at: datetime
    ) -> None:
        """Keep what was said at that time (the signed one); what was said later than that stays. None says nothing."""


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """A delivery whose signature holds: its id, when it was signed, and the body as text."""

    webhook_id: str
    signed: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Event:
    """The envelope of a webhook body; `data` is not checked yet: of a kind that is not known it may be anything."""

    event_id: str
    kind: str
    data: Any


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What `patient_study.enrichment_requested` says of a study, from its DICOM header."""

    study_instance_uid: str
    accession_number: str | None
    patient_id: str | None


class Verifier:
    """Tells a genuine delivery from any other, with the keys of `settings.webhook.secrets`."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._hooks = tuple(map(Webhook, secrets))

    @property
    def has_key(self) -> bool:
        """False where no delivery can be verified."""
        return bool(self._hooks)

    def verified(self, headers: Iterable[tuple[bytes, bytes]], body: bytes, now: datetime) -> WebhookDelivery | Refusal:
        """The delivery, or why it is refused; names of headers in lower case, as ASGI has them.

        The library's own check reads another clock than ours, and raises what it pleases on headers that are not in
        form: of it only the making of a signature is used. No headers and no bytes make this raise.
        """
        given = list(headers)
        webhook_id, seconds, signatures = (_only(given, name) for name in _HEADERS)
        if not (_VISIBLE.fullmatch(webhook_id) and _SECONDS.fullmatch(seconds) and signatures):
            return "unsigned"
        signed = datetime.fromtimestamp(int(seconds), UTC)
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return "wrong-signature"
        expected = [hook.sign(webhook_id, signed, text).encode() for hook in self._hooks]
        stated = [one.encode("latin-1") for one in signatures.split(" ", _MOST_SIGNATURES)]
        if not any(compare_digest(one, other) for one in stated for other in expected):
            return "wrong-signature"
        return WebhookDelivery(webhook_id, signed, text) if abs(now - signed) <= TOLERANCE else "wrong-time"


def _only(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """The value of a header that is there once; a header that is there twice says nothing."""
    found = [value for key, value in headers if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def event(text: str) -> Event:
    """The envelope of a body.

    Raises:
        WireError: the body is not JSON, or not what the contract says.
    """
    body = loads(text)
    check(body, _EVENT)
    data = body.get("data")
    return Event(body["id"], body["type"], {} if data is None else data)


def delivered(data: Any) -> dict[str, str]:
    """What is kept of a `report.delivered`: the ids. Its text and its presigned URL are not.

    Raises:
        WireError: the data are not what the contract says.
    """
    check(data, _DELIVERED, "/data")
    return {key: data[key] for key in _DELIVERED if data.get(key) is not None}


def enrichment(data: Any) -> Enrichment:
    """What a `patient_study.enrichment_requested` says; blanks at the ends say nothing (DICOM PS3.5 §6.2, SH and LO).

    Raises:
        WireError: the data are not what the contract says.
    """
    check(data, _ENRICHMENT, "/data")
    accession_number, patient_id = ((data.get(key) or "").strip() or None for key in ("accessionNumber", "patientId"))
    return Enrichment(data["studyInstanceUid"], accession_number, patient_id)
