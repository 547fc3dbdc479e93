"""HL7 v2.5.1 §2.A.22: values that all segments of a message share; its times in the receiver's form (D15)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.er7_reader import all_of, field
from fakes.oru_example import SITE, profile, report, send, sent, study

from mappings.profile import Facility, Site

NO_ZONE = Site(facilities={"Mercy East": Facility("Mercy East")})


def times(what: Any = None, **options: Any) -> tuple[str, str, str]:
    """OBR-22, OBX-14 (of the signature) and MSH-7; the report was signed at 16:30:12 UTC, in New York 11:30:12."""
    to = replace(options.pop("to", profile()), obx14="signed")
    message = sent(what, to=to, **options)
    return field(message, "OBR-22"), all_of(message, "OBX")[0][14], field(message, "MSH-7")


def unknown_zone(**options: Any) -> bool:
    place = "/reports/0/snapshotMetadata/facilityName"
    return ("time-zone-unknown", place) in [(issue.code, issue.pointer) for issue in send(**options).issues]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("offset", "20260105163012+0000"),
        ("utc", "20260105163012+0000"),
        ("local", "20260105113012-0500"),
        ("no_offset", "20260105113012"),
    ],
)
def test_a_time_is_said_in_the_form_that_the_receiver_reads(form: str, said: str) -> None:
    assert times(to=profile(dtm=form))[:2] == (said, said)


def test_utc_is_said_of_a_time_that_came_with_another_offset() -> None:
    what = study(report(signedAt="2026-01-05T11:30:12-05:00"))
    assert times(what, to=profile(dtm="offset"))[0] == "20260105113012-0500"
    assert times(what, to=profile(dtm="utc"))[0] == "20260105163012+0000"


def test_all_times_have_the_offset_of_the_site_unless_a_profile_says_otherwise() -> None:
    message = sent(study())
    assert {field(message, name)[14:] for name in ("MSH-7", "OBR-7", "OBR-22", "OBX-14")} == {"-0500"}


def test_without_a_known_zone_a_local_time_keeps_its_offset_and_nothing_is_lost() -> None:
    local = {"to": profile(dtm="local"), "site": NO_ZONE}
    assert times(**local)[0] == "20260105163012+0000"
    assert not unknown_zone(**local)


def test_before_standard_time_a_zone_has_seconds_that_no_field_holds() -> None:
    what = study(report(signedAt="1880-01-01T00:00:00Z"))
    assert times(what)[0] == "18800101000000+0000"
    assert times(what, to=profile(dtm="no_offset"))[0] == "18791231190358"


def test_without_a_known_zone_and_without_an_offset_only_the_date_is_said() -> None:
    bare = {"to": profile(dtm="no_offset"), "site": NO_ZONE}
    assert times(**bare)[:2] == ("20260105", "20260105")
    assert unknown_zone(**bare)


def test_a_moment_at_the_end_of_the_calendar_is_said_as_it_came() -> None:
    what = study(report(signedAt="0001-01-01T00:00:00Z"))
    assert times(what, to=profile(dtm="local"))[0] == "00010101000000+0000"


def test_a_draft_was_last_changed_when_it_says_so() -> None:
    site = replace(SITE, send_drafts=True)
    what = study(report(status="in_progress", signedAt=None, updatedAt="2026-01-05T16:00:00Z"))
    assert times(what, site=site, kind="draft", to=profile(send_drafts="on"))[:2] == ("20260105110000-0500",) * 2
