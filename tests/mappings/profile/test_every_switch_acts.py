"""Decision D34: every switch of a receiver profile changes bytes or behavior; one that does nothing is no switch.

A switch of the message is changed here, and changes the bytes or the presence of messages. Switches of the transport
are changed in tests/gateway/settings/test_every_setting_acts.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from fakes.answered import ORDER

from mappings.hl7v2.oru_r01 import messages, to_oru
from mappings.hl7v2.receiver_rules import AT, Occasion, occasions
from mappings.model import Facts, PdfFacts
from mappings.profile import Facility, Receiver, conflicts, receiver, switches

# Switches that change no byte of a message
BEHAVIOUR = frozenset({"ack_table", "retry", "rate_limit", "window", "keepalive", "idle_close", "tls", "zsegments"})
RID = "RID49480^Category 1 Emergent Actionable Finding^RadLex"
# Switch, or switch and value -> settings it needs beside it, in the profile before and after
BESIDE: dict[str | tuple[str, str], dict[str, str]] = {
    "critical_code": {"critical": "obx15_rid"},
    ("critical", "obx15_rid"): {"critical_code": RID},
    "disclaimer": {"nte": "disclaimer"},
    ("nte", "disclaimer"): {"disclaimer": "x"},
    "uid_type": {"uid": "obx113014"},
    "pdf_max": {"pdf": "ed"},
    "status_map": {"send_drafts": "on"},
}


def cases() -> Iterator[tuple[str, object]]:
    for name, switch in switches().items():
        if name in BEHAVIOUR:
            continue
        metadata = switch.metadata
        if "values" in metadata:
            yield from ((name, value) for value in metadata["values"] if value != switch.default)
        elif "range" in metadata:
            yield name, metadata["range"][0]
        elif "keys" in metadata:
            yield from ((name, ((key, value),)) for key, values in metadata["keys"].items() for value in values[1:])
        else:
            yield name, f"{RID} turned"


@cache
def witnesses() -> tuple[Occasion, ...]:
    """Return the specimen in every state, a study of another modality, one with a long PDF, and one with an order."""
    first = next(one for one in occasions() if one.name == "a first report")
    other = replace(first.study, modality="PET", metadata={})
    pdf = {first.cause.report_id: PdfFacts(2_000, bytes(20), b"%PDF-1.4")}
    ordered = replace(first, facts=Facts(orders=(ORDER,)))
    facility = Facility(first.study.reports[0].snapshot.facility_name, viewer="https://viewer.example/?uid={studyUID}")
    viewed = replace(first, site=replace(first.site, facilities={facility.name: facility}))
    return (*occasions(), replace(first, study=other), replace(first, facts=Facts(pdf=pdf)), ordered, viewed)


def said(made: Receiver) -> list[bytes | None]:
    """Messages of all witnesses; None for one that is held."""
    return [
        to_oru(one.study, cause, one.site, made, one.facts, control_id="TURNED", at=AT).output
        for one in witnesses()
        for cause in messages(one.study, one.cause, one.site, made, one.facts)
    ]


@pytest.mark.parametrize(("name", "value"), list(cases()))
def test_a_switch_that_is_turned_changes_what_is_sent(name: str, value: object) -> None:
    beside = {**BESIDE.get(name, {}), **BESIDE.get((name, str(value)), {})}
    before = replace(receiver("generic"), **beside)
    is_acting = said(replace(before, **{name: value})) != said(before)
    assert is_acting, f"no message changes: read receiver.{name} in mappings/hl7v2, where its field is written"


def test_without_segments_that_are_not_of_the_standard_a_profile_that_writes_one_is_refused() -> None:
    before = receiver("generic")
    assert conflicts(before) == []
    assert [one.key for one in conflicts(replace(before, zsegments="off"))] == ["uid"]
