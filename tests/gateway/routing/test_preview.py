"""Preview of a destination's messages for a report, and of their delivery there (decisions D34, D39)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.fed import destination
from fakes.looks import addendum, report, study

from gateway.routing import Filter, Scope
from gateway.routing.preview import KEPT_BACK, PreviewRequest, delivery, preview
from gateway.runtime.request_errors import NoMessage
from mappings import decode
from mappings.model import Facts
from mappings.profile import AssigningAuthority, Facility, Rule, Site
from mappings.profile.rule import place_of

WIRE = json.loads((Path(__file__).parents[2] / "golden" / "final-ct" / "wire.json").read_text())
AT = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
CITY = Facility("City Medical Center", mrn=AssigningAuthority("urn:oid:2.999.7", "CITY"))
SITE = Site(facilities={CITY.name: CITY})


def asked(**changes):
    document = {**WIRE, **changes}
    head = {key: value for key, value in document.items() if key not in ("reports", "users")}
    study = decode(head, document["reports"], document.get("users", ()))
    return PreviewRequest(study, Facts(), study.reports[0].report_id)


def becomes(question, to):
    return delivery(question, preview(question, to.site(SITE), to.receiver, AT), to)


def test_a_signed_report_is_queued_and_the_preview_has_its_message():
    question, to = asked(), destination(2575)
    made = preview(question, to.site(SITE), to.receiver, AT)
    assert ([one[:4] for one in made.messages], made.against) == ([b"MSH|"], ())
    assert becomes(question, to).state == "queued"


def test_with_no_authority_for_its_mrn_it_is_held_there():
    question, to = asked(), destination(2575)
    made = preview(question, to.site(Site()), to.receiver, AT)
    assert (delivery(question, made, to).state, delivery(question, made, to).reason) == ("held", "authority-unknown")


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"filter": Filter(statuses=frozenset({"addendum"}))}, "excluded", "statuses"),
        ({"filter": Filter(Scope(facilities=frozenset({"elsewhere"})))}, "excluded", "facilities"),
        ({"filter": Filter(critical="only")}, "excluded", "critical"),
        ({"start": datetime(2099, 1, 1, tzinfo=UTC)}, "before_start", ""),
        ({"is_enabled": False}, "not_enabled", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_filter_or_the_start_keeps_it_away_and_is_named(changes, state, reason):
    found = becomes(asked(), replace(destination(2575), **changes))
    assert (found.state, found.reason, found.state in KEPT_BACK) == (state, reason, True)


def test_what_is_not_signed_causes_no_message():
    open_report = {**WIRE["reports"][0], "status": "in_progress"}
    to = destination(2575)
    with pytest.raises(NoMessage):
        preview(asked(reports=[open_report]), to.site(SITE), to.receiver, AT)


def test_a_preview_has_the_causes_of_its_own_report_alone():
    both, to = study(report(), addendum()), destination(2575)
    for decoded, kind in zip(both.reports, ("signed", "addendum_signed"), strict=True):
        made = preview(PreviewRequest(both, Facts(), decoded.report_id), to.site(SITE), to.receiver, AT)
        assert [(one.report_id, one.kind) for one in made.causes] == [(decoded.report_id, kind)]


def test_a_rule_that_a_message_breaks_makes_it_a_dead_letter():
    rule = Rule("no-final", "block", "no final report", place_of("OBR-25"), "not_be_one_of", ("F",))
    to = destination(2575)
    to = replace(to, receiver=replace(to.receiver, rules=(rule,)))
    question = asked()
    made = preview(question, to.site(SITE), to.receiver, AT)
    assert [one.code for one in made.broken] == ["rule-no-final"]
    assert (becomes(question, to).state, becomes(question, to).reason) == ("dead_letter", "rule-no-final")
    assert becomes(question, replace(destination(2575), dry_run=True)).state == "recorded"
