"""Simulate a hospital: all its messages about the sandbox's studies, and the true orders of each study.

HL7 v2.5.1 §4.5.1.1 (ORC-1), §3.3.40 (A40), decision D48. The same seed and study give the same messages. Equal numbers
occur at several facilities on purpose: a number means something only together with its issuer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.sandbox.his_telling import KNOWN, HisTruth, Telling
from gateway.sandbox.his_wire import issuer_of
from gateway.sandbox.his_workflows import drawn
from gateway.sandbox.people import SandboxFacility

Json = dict[str, Any]

SYSTEM_ARCS: Final = {"accession": 2, "placer": 3, "filler": 4}
"""Kind of an order number -> arc below the system of the facility's MRNs, for the system of its issuer."""


@dataclass(frozen=True, slots=True)
class HisMessage:
    """Message of the hospital, with the instant it is sent and the truth about its study."""

    at: datetime
    payload: bytes
    truth: HisTruth


def his_messages(studies: Sequence[tuple[Json, Sequence[Json]]], seed: int) -> list[HisMessage]:
    """Make the hospital's messages about these studies, in the order in which it sends them."""
    told = [one for study in his_stories(studies, seed) for one in study[1]]
    return sorted(told, key=lambda one: (one.at, one.payload))


def his_stories(studies: Sequence[tuple[Json, Sequence[Json]]], seed: int) -> list[tuple[HisTruth, list[HisMessage]]]:
    """Make the truth about each study and the messages about it; a study may have no messages."""
    numbers = Counter(study["reportMetadata"].get("mrn") for study, _ in studies)
    return [
        his_story(study, reports, seed, is_shared=numbers[study["reportMetadata"].get("mrn")] > 1)
        for study, reports in studies
    ]


def his_story(
    study: Json,
    reports: Sequence[Json],
    seed: int,
    *,
    is_shared: bool = True,
    workflow: str = "",
) -> tuple[HisTruth, list[HisMessage]]:
    """Make the truth about one study and its messages; `is_shared` if other studies have its patient number.

    The workflow is drawn, or the one of that name in `WORKFLOWS`.
    """
    signed = [report["signedAt"] for report in reports if report.get("signedAt")]
    signed_at = datetime.fromisoformat(min(signed, default=study["createdAt"]))
    telling = Telling(study, signed_at, seed, is_shared=is_shared)
    truth = drawn(telling, workflow)
    telling.repeat_some()
    return truth, [HisMessage(at, payload, truth) for at, payload in telling.sent]


def with_numbers(study: Json, truth: HisTruth) -> Json:
    """Return the study with the numbers in `metadata` that its truth has."""
    return {**study, "metadata": {**study.get("metadata", {}), **truth.metadata}}


def issuers() -> list[tuple[SandboxFacility, dict[str, tuple[str, str]]]]:
    """Return the issuers of each known facility's order numbers (system and namespace), for a site's settings."""
    return [
        (
            one,
            {
                kind: (f"{one.mrn_system}.{arc}", issuer_of(one.mrn_namespace, kind))
                for kind, arc in SYSTEM_ARCS.items()
            },
        )
        for one in KNOWN.values()
    ]
