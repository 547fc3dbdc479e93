"""Laws of ORU^R01 in every version of HL7 v2 and with every switch of its header segments (D2, D4, D34)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fakes.scale import examples
from fakes.wire_strategies import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import decode, to_oru
from mappings.hl7v2.judge import judge_message
from mappings.hl7v2.versions import VERSIONS
from mappings.model import Cause, Facts, Study
from mappings.profile import Receiver, Site, parse_site, receiver, switches

SITE = parse_site("""
[mapping]
accession_keys = ["|^~\\\\&", "UNKNOWN"]
placer_keys = ["DOE^JANE^M^^DR", "0000"]
[[mapping.facilities]]
name = "Mercy"
code = "MERCY"
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "MERCY"
""")
AT = datetime(2026, 1, 5, 16, 30, 14, tzinfo=UTC)
HEAD = (
    *("msh9_3", "charset", "dtm", "pid3_plain", "xpn_type", "modality_table", "accession_field", "ack_mode"),
    *("uid", "zsegments", "vitals"),
)
PROFILES = st.fixed_dictionaries({name: st.sampled_from(switches()[name].metadata["values"]) for name in HEAD})
SITES = {"configured": SITE, "nothing said": Site()}


def messages(what: Study, site: Site, to: Receiver) -> list[bytes]:
    facts = Facts(accession_number="A^1")
    made = [to_oru(what, Cause(one.report_id), site, to, facts, control_id="1", at=AT).output for one in what.reports]
    return [message for message in made if message is not None]


@settings(max_examples=examples(40))
@given(studies(), st.sampled_from(sorted(SITES)), PROFILES, st.sampled_from(VERSIONS))
def test_the_judge_finds_nothing_but_lengths_in_any_version_with_any_switch(
    wire: Any, site: str, profile: dict[str, str], version: str
) -> None:
    for message in messages(decode(*wire), SITES[site], replace(receiver("generic"), **profile, version=version)):
        assert {fault.code for fault in judge_message(message)} <= {"length-exceeded"}


@settings(max_examples=examples(60))
@given(studies(), PROFILES)
def test_every_version_says_the_same_of_the_report(wire: Any, profile: dict[str, str]) -> None:
    what = decode(*wire)
    spoken = []
    for version in VERSIONS:
        made = messages(what, SITE, replace(receiver("generic"), **profile, version=version))
        spoken.append([re.findall(rb"\rOBX\|(\d+\|[A-Z]+\|[^|]*\|[^|]*\|[^|]*)", message) for message in made])
    assert all(one == spoken[0] for one in spoken)
