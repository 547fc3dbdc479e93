"""The hospital's look-alike writes valid v2.5.1, the same for the same seed, and knows what is true of each study."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress

import pytest
from fakes.his_world import HisWorld
from fakes.scale import examples
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import ValidationError
from hl7apy.parser import parse_message

from gateway.sandbox.his import his_messages, his_story, issuers, with_numbers
from gateway.sandbox.his_workflows import CLEAN, DIRTY, WORKFLOWS
from gateway.sandbox.people import FACILITIES
from gateway.sandbox.seed import generate
from mappings.hl7v2.inbound import READABLE
from mappings.hospital.match import REASONS

SEEDED = [one for one in generate(5, 60).seeded if one.study["studyType"] != "external"]
# Its tables demand every segment of a choice (OBR, RQD, RQ1, RXO, ODS or ODT)
CHOICE = re.compile(r"Missing required child ORM_O01_OBRRQDRQ1RXOODSODT_SUPPGRP\.(?!OBR)")
# OBR-18 is an ST: the issuer in it is the one deviation
ACCESSION_WITH_ISSUER = re.compile(r"(\rOBR(?:\|[^|\r]*){17}\|[^|^\r]*)\^[^|\r]*")
STUDIES = [(one.study, one.reports) for one in SEEDED]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    assert his_messages(STUDIES, 1) == his_messages(STUDIES, 1)
    assert his_messages(STUDIES, 1) != his_messages(STUDIES, 2)


def test_messages_leave_in_order_and_of_every_kind():
    told = his_messages(STUDIES, 1)
    assert [one.at for one in told] == sorted(one.at for one in told)
    world = HisWorld(1, 150)
    kinds = {world.read(one).structure for one in world.messages}
    assert kinds == {"ORM^O01", "OMI^O23", "ADT^A01", "ADT^A08", "ADT^A40"}
    assert kinds <= READABLE
    assert max(Counter(one.payload for one in world.messages).values()) > 1


def test_every_message_is_read_whole_without_an_issue():
    world = HisWorld(2, 100)
    assert [issue for one in world.messages for issue in world.read(one).issues] == []


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2))
def test_every_message_is_valid_for_a_library_that_nobody_here_wrote(seed, tmp_path):
    world = HisWorld(seed, examples(200))
    for one in {message.payload for message in world.messages}:
        text = "\r".join(line for line in one.decode().split("\r") if not line.startswith("ZDS"))
        text = ACCESSION_WITH_ISSUER.sub(r"\1", text)
        report = tmp_path / "report"
        with suppress(ValidationError):  # the first of those in the report
            parse_message(text, validation_level=VALIDATION_LEVEL.STRICT).validate(report_file=str(report))
        faults = report.read_text().splitlines() if report.exists() else []
        assert [fault for fault in faults if not CHOICE.search(fault)] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_workflow_has_a_truth(name):
    study, reports = STUDIES[0]
    truth, told = his_story(study, reports, 1, workflow=name)
    assert (truth.workflow, truth.study_id) == (name, study["studyId"])
    assert told
    assert bool(truth.orders) == (name in CLEAN)
    assert (truth.reason in REASONS) == (name in DIRTY or name == "unknown-facility")
    assert with_numbers(study, truth)["metadata"].items() >= truth.metadata.items()


def test_each_issuer_of_each_facility_has_a_namespace_and_a_system_of_its_own():
    every = [pair for _, numbers in issuers() for pair in numbers.values()]
    assert len({system for system, _ in every}) == len({namespace for _, namespace in every}) == len(every) == 12
    assert {place for place, _ in issuers()} == {one for one in FACILITIES if one.is_known}
