"""AutoScribe REST API: choice of the addendum, and the outcome found when a study is read back (decision D27)."""

import pytest
from fakes.upstream_json import report_id, report_json, response_json, study_json

from gateway.fhir_api.operations.addendum_steps import ACTS
from gateway.fhir_api.operations.idempotency import SentRequest
from gateway.runtime.errors import UpstreamConflict, UpstreamNotFound
from mappings import decode

OPEN, CANCEL = ACTS["addendum"], ACTS["cancel-addendum"]


class Refusing:
    """Answers 404 to all ids but one."""

    def __init__(self, takes: str) -> None:
        self.takes, self.asked = takes, []

    async def cancel_addendum(self, report_id: str) -> None:
        self.asked.append(report_id)
        if report_id != self.takes:
            raise UpstreamNotFound("cancel", status=404)


def addendum(digit, **changes):
    return report_json(digit, **{"isAddendum": True, "status": "in_progress", "signedAt": None, **changes})


def study(*reports, status="addendum_active"):
    return decode(study_json(studyReportStatus=status), response_json(*reports))


def one(of, digit):
    return next(report for report in of.reports if report.report_id == report_id(digit))


SENT = SentRequest("stu_" + "1" * 32, frozenset({report_id("3")}))


def test_two_new_addenda_are_not_guessed_between():
    assert OPEN.find(study(report_json("3"), addendum("4"), addendum("5")), SENT) is None
    assert OPEN.find(study(report_json("3"), addendum("4")), SENT).location.endswith("4" * 32)


def test_an_addendum_that_was_signed_meanwhile_is_found_too():
    found = OPEN.find(study(report_json("3"), addendum("4", status="completed"), status="completed"), SENT)
    assert found.resource["parameter"][1] == {"name": "status", "valueCode": "final"}


def test_an_open_addendum_shows_by_the_studys_state_alone():
    assert OPEN.shows(study(report_json("3")))
    assert not OPEN.shows(study(report_json("3"), status="completed"))
    assert not CANCEL.shows(study(report_json("3"), status="completed"))


def test_of_several_open_addenda_one_must_be_named():
    several = study(report_json("3"), addendum("4"), addendum("5"))
    with pytest.raises(UpstreamConflict, match="2 addenda are open"):
        CANCEL.check(several, one(several, "3"))
    CANCEL.check(several, one(several, "5"))


async def test_the_named_one_of_several_is_sent():
    several, upstream = study(report_json("3"), addendum("4"), addendum("5")), Refusing(report_id("5"))
    await CANCEL.send(upstream, several, one(several, "5"))
    assert upstream.asked == [report_id("5")]


async def test_an_addendum_that_is_not_listed_yet_is_cancelled_by_the_originals_id():
    lagging, upstream = study(report_json("3")), Refusing(report_id("3"))
    CANCEL.check(lagging, one(lagging, "3"))
    await CANCEL.send(upstream, lagging, one(lagging, "3"))
    assert upstream.asked == [report_id("3")]


@pytest.mark.parametrize("named", ["3", "4"])
async def test_the_original_is_sent_only_after_a_404_and_a_404_for_both_is_one(named):
    both, upstream = study(report_json("3"), addendum("4")), Refusing("nobody")
    with pytest.raises(UpstreamNotFound):
        await CANCEL.send(upstream, both, one(both, named))
    assert upstream.asked == [report_id("4"), report_id("3")]


async def test_which_of_two_originals_is_meant_is_not_guessed():
    two, upstream = study(report_json("3"), report_json("6"), addendum("4")), Refusing("nobody")
    with pytest.raises(UpstreamNotFound):
        await CANCEL.send(upstream, two, one(two, "4"))
    assert upstream.asked == [report_id("4")]


def test_what_is_cancelled_names_the_original_if_there_is_but_one():
    sent = SentRequest("stu_" + "1" * 32, frozenset())
    alone = CANCEL.find(study(report_json("3"), status="completed"), sent).resource["parameter"]
    two = CANCEL.find(study(report_json("3"), report_json("6"), status="completed"), sent).resource["parameter"]
    assert [row["name"] for row in alone] == ["report", "status", "study"]
    assert [row["name"] for row in two] == ["study"]
    assert CANCEL.find(study(report_json("3"), addendum("4")), sent) is None
