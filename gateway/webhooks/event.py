"""Verify and parse AutoScribe's webhook events, and extract the data that the gateway keeps.

Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md);
AutoScribe REST API, webhooks `report.delivered` and `patient_study.enrichment_requested` (decisions D18, D25).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Any, Final, Literal

from standardwebhooks import Webhook

from mappings.study.wire import REPORT_ID, STUDY_ID, Kind, Shape, check, loads

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


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """Delivery with a valid signature: its id, when it was signed, and the body as text."""

    webhook_id: str
    signed: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Event:
    """Envelope of a webhook body. `data` is not checked yet: for an unknown kind it may be anything."""

    event_id: str
    kind: str
    data: Any


@dataclass(frozen=True, slots=True)
class Enrichment:
    """Identifiers of a study from `patient_study.enrichment_requested`, read from its DICOM header.

    `clinic_id` is the clinic whose study it is; empty if it is no text.
    """

    study_instance_uid: str
    accession_number: str | None
    patient_id: str | None
    clinic_id: str = ""


class Verifier:
    """Checker of signatures with the keys in `settings.webhook.secrets`."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._hooks = tuple(map(Webhook, secrets))

    @property
    def has_key(self) -> bool:
        """True if there is a key, so that deliveries can be verified."""
        return bool(self._hooks)

    def verified(self, headers: Iterable[tuple[bytes, bytes]], body: bytes, now: datetime) -> WebhookDelivery | Refusal:
        """Verify a delivery, or return why it is refused; header names in lower case, as in ASGI.

        The library's own check uses another clock and raises assorted errors for malformed headers, so only its signing
        is used here. No headers or bytes make this method raise.
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
    """Return the value of a header that occurs once; a repeated header counts as empty."""
    values = [value for key, value in headers if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def event(text: str) -> Event:
    """Parse the envelope of a body.

    Raises:
        WireError: the body is not JSON, or does not follow the contract.
    """
    body = loads(text)
    check(body, _EVENT)
    data = body.get("data")
    return Event(body["id"], body["type"], {} if data is None else data)


def delivered(data: Any) -> dict[str, str]:
    """Return what the gateway keeps of `report.delivered`: the ids. Text and presigned URL are not kept.

    Raises:
        WireError: the data do not follow the contract.
    """
    check(data, _DELIVERED, "/data")
    return {key: data[key] for key in _DELIVERED if data.get(key) is not None}


def enrichment(data: Any) -> Enrichment:
    """Parse a `patient_study.enrichment_requested`; outer spaces are dropped (DICOM PS3.5 §6.2, SH and LO).

    Raises:
        WireError: the data do not follow the contract.
    """
    check(data, _ENRICHMENT, "/data")
    accession_number, patient_id = ((data.get(key) or "").strip() or None for key in ("accessionNumber", "patientId"))
    clinic_id = data.get("clinicId")
    clinic = clinic_id.strip() if isinstance(clinic_id, str) else ""
    return Enrichment(data["studyInstanceUid"], accession_number, patient_id, clinic)
