"""Tell what a look-alike of a hospital's system says about the sandbox's studies, and what is true of each.

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
    """Message, with the instant at which it leaves the hospital and the truth about its study."""

    at: datetime
    payload: bytes
    truth: HisTruth


def his_messages(studies: Sequence[tuple[Json, Sequence[Json]]], seed: int) -> list[HisMessage]:
    """Make all messages about these studies, each study with its reports, in the order in which they leave."""
    told = [one for study in his_stories(studies, seed) for one in study[1]]
    return sorted(told, key=lambda one: (one.at, one.payload))


def his_stories(studies: Sequence[tuple[Json, Sequence[Json]]], seed: int) -> list[tuple[HisTruth, list[HisMessage]]]:
    """Make the truth about each study, also where nothing is told of it, with its messages."""
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
    """Make the truth about one study with its messages; `is_shared` if other studies have its patient number.

    The workflow is drawn, or the one of that name in `WORKFLOWS`.
    """
    signed = [report["signedAt"] for report in reports if report.get("signedAt")]
    signed_at = datetime.fromisoformat(min(signed, default=study["createdAt"]))
    telling = Telling(study, signed_at, seed, is_shared=is_shared)
    truth = drawn(telling, workflow)
    telling.repeat_some()
    return truth, [HisMessage(at, payload, truth) for at, payload in telling.sent]


def with_numbers(study: Json, truth: HisTruth) -> Json:
    """Return the study with the numbers that its truth has in `metadata`."""
    return {**study, "metadata": {**study.get("metadata", {}), **truth.metadata}}


def issuers() -> list[tuple[SandboxFacility, dict[str, tuple[str, str]]]]:
    """Issuers of each known facility's order numbers, by kind: system and namespace, for the settings of a site."""
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
