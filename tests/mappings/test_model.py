"""Model of the data: it holds the input, and little more."""

import dataclasses

import pytest
from fakes.upstream_json import report_id, report_json, response_json, study_json

from mappings import model
from mappings.study.autoscribe import decode


@pytest.mark.parametrize(
    ("body", "content"),
    [(" \r\n Clear.\r\nNo mass.\r", "Clear.\nNo mass."), ("a\rb", "a\nb"), ("\n\n", ""), ("  plain  ", "plain")],
)
def test_the_content_of_a_section_has_line_feeds_and_no_outer_white_space(body, content):
    section = model.Section("findings", "FINDINGS:", body)
    assert section.content == content
    assert section.heading + section.body == "FINDINGS:" + body


def test_the_completed_reports_of_a_study_are_the_signed_ones_in_reading_order():
    study = decode(
        study_json(),
        response_json(
            report_json("c", isAddendum=True),
            report_json("b", status="in_progress", signedAt=None),
            report_json("a", signedAt="2024-03-15T17:00:00Z"),
            report_json("d"),
        ),
    )
    assert [report.report_id for report in study.completed] == [report_id(digit) for digit in "dac"]
    assert [report.is_completed for report in study.reports] == [False, True, True, True]


def test_a_status_that_is_not_known_is_not_completed():
    (report,) = decode(None, [report_json(status="final")]).reports
    assert not report.is_completed


@pytest.mark.parametrize(
    "cls", [item for item in vars(model).values() if isinstance(item, type) and dataclasses.is_dataclass(item)]
)
def test_every_class_of_the_model_is_frozen_and_slotted(cls):
    assert cls.__dataclass_params__.frozen
    assert "__slots__" in vars(cls)
