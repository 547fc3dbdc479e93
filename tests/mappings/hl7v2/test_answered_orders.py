"""Changes of an ORU^R01 by the hospital's order (HL7 v2.5.1 §3.4.2, §3.4.3, §4.5.1, §4.5.3; D18, D48)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.answered import MESSAGE, ORDER, VISIT, order
from fakes.er7_reader import all_of, field
from fakes.oru_example import SITE, codes, profile, report, send, sent, study

from mappings.hl7v2.oru_r01 import messages_of_all
from mappings.model import NO_CODE, Cause, Facts, StatedCode, StatedNumber
from mappings.profile import AssigningAuthority

SITED = replace(SITE, accession_keys=("acc",), placer_keys=("placer",), number_separator=",")
STUDY_NUMBER = "3oSAGvLY3tMWHhsMcmBrT8^AUTOSCRIBE"


def told(**changes: object) -> bytes:
    return sent(orders=(order(1, **changes),))


def test_placer_is_that_of_the_order_and_filler_stays_the_study() -> None:
    message = told()
    assert field(message, "ORC-2") == field(message, "OBR-2") == "PL1^EPIC"
    assert field(message, "ORC-3") == field(message, "OBR-3") == STUDY_NUMBER
    assert field(message, "OBR-18") == "ACC1"


def test_without_an_order_nothing_changes() -> None:
    assert sent(orders=()) == sent()


def test_what_the_order_does_not_say_stays_what_the_study_says() -> None:
    what = study(metadata={"acc": "ACC1", "placer": "META9"})
    message = sent(what, site=SITED, orders=(order(1, placer=None, ordering=(), visit=None, procedure=NO_CODE),))
    bare = sent(what, site=SITED)
    assert [field(message, one) for one in ("OBR-2", "OBR-4", "OBR-16", "PV1-8")] == [
        field(bare, one) for one in ("OBR-2", "OBR-4", "OBR-16", "PV1-8")
    ]


def test_one_accession_with_two_orders_has_a_group_for_each_with_its_own_placer() -> None:
    what = study(metadata={"acc": "ACC1", "placer": "PL1,PL2"})
    message = sent(what, site=SITED, orders=(order(1), order(2)))
    assert [(row[2], row[18]) for row in all_of(message, "OBR")] == [("PL1^EPIC", "ACC1"), ("PL2^EPIC", "ACC1")]
    assert {row[3] for row in all_of(message, "OBR")} == {STUDY_NUMBER}
    assert "placer-unpaired" not in codes(what, site=SITED, orders=(order(1), order(2)))
    assert "placer-unpaired" in codes(what, site=SITED, orders=(order(1),))


def test_each_accession_has_its_own_orders_and_an_unanswered_one_is_kept() -> None:
    what = study(metadata={"acc": "ACC1,ACC2"})
    second = order(2, accession=StatedNumber("ACC2", "MERCYACC"))
    both = sent(what, site=SITED, orders=(second, order(1)))
    assert [(row[2], row[18]) for row in all_of(both, "OBR")] == [("PL1^EPIC", "ACC1"), ("PL2^EPIC", "ACC2")]
    one = sent(what, site=SITED, orders=(second,))
    assert [(row[2], row[18]) for row in all_of(one, "OBR")] == [("", "ACC1"), ("PL2^EPIC", "ACC2")]


def test_an_order_found_by_its_placer_completes_the_order_of_that_placer() -> None:
    what = study(metadata={"acc": "ACC1,ACC2", "placer": "PX,PL1"})
    found = order(1, accession=StatedNumber("ELSEWHERE", "OTHER"))
    message = sent(what, site=SITED, orders=(found,))
    assert [(row[2], row[18]) for row in all_of(message, "OBR")] == [("PX", "ACC1"), ("PL1^EPIC", "ACC2")]


def test_an_order_that_is_none_of_the_study_s_numbers_has_a_group_of_its_own() -> None:
    what = study(metadata={"acc": "ACC7"})
    message = sent(what, site=SITED, orders=(order(1),))
    assert [(row[2], row[18]) for row in all_of(message, "OBR")] == [("", "ACC7"), ("PL1^EPIC", "ACC1")]


def test_a_receiver_of_a_message_for_each_order_gets_one_for_a_group() -> None:
    what = study(metadata={"acc": "ACC1"})
    to = profile(accessions="messages")
    orders = (order(1), order(2))
    [cause] = messages_of_all(what, [Cause(what.reports[0].report_id)], SITED, to, Facts(orders=orders))
    assert cause.accession_number == ""
    assert len(all_of(sent(what, site=SITED, to=to, orders=orders), "OBR")) == 2
    assert "accessions-together" not in codes(what, site=SITED, to=to, orders=orders)


def test_a_group_of_a_receiver_that_files_by_accession_keeps_the_number_it_was_sent_under() -> None:
    to = profile(accession_field="3", accession="required")
    message = sent(to=to, orders=(order(1), order(2)), filler="ACC0")
    assert [row[3] for row in all_of(message, "OBR")] == ["ACC0", "ACC0"]
    assert "filler-order-left" not in codes(to=to, orders=(order(1), order(2)), filler="ACC0")


def test_the_visit_is_that_of_the_order_as_of_the_study() -> None:
    message = told()
    assert field(message, "PV1-2") == "E"
    assert field(message, "PV1-3") == "ED^12^A^MERCY_EAST"
    assert field(message, "PV1-7") == "A7^House^Gregory^^^^MD^^MERCYDOC^L"
    assert field(message, "PV1-8") == "R8^Quinn^Michaela^^^^^^MERCYDOC^L"
    assert field(message, "PV1-19") == "V100^^^MERCYVISIT^VN"


def test_the_visit_number_and_the_account_are_never_swapped() -> None:
    message = told()
    assert field(message, "PID-18") == "AC200^^^MERCYACCT^AN"
    alone = told(visit=replace(VISIT, number=None))
    assert (field(alone, "PV1-19"), field(alone, "PID-18")) == ("", "AC200^^^MERCYACCT^AN")
    alone = told(visit=replace(VISIT, account=None))
    assert (field(alone, "PV1-19"), field(alone, "PID-18")) == ("V100^^^MERCYVISIT^VN", "")


def test_a_location_says_its_own_facility_if_it_has_one() -> None:
    assert (
        field(told(visit=replace(VISIT, location=("ED", "", "", "WEST&1.2&ISO"))), "PV1-3") == r"ED^^^WEST\T\1.2\T\ISO"
    )
    assert field(told(visit=replace(VISIT, location=())), "PV1-3") == "^^^MERCY_EAST"
    assert field(told(visit=replace(VISIT, patient_class="")), "PV1-2") == "U"


def test_orders_of_two_visits_say_none() -> None:
    other = order(2, visit=replace(VISIT, number=StatedNumber("V101", "MERCYVISIT")))
    message = sent(orders=(order(1), other))
    assert (field(message, "PV1-2"), field(message, "PV1-19"), field(message, "PID-18")) == ("U", "", "")
    assert codes(orders=(order(1), other))["visit-differs"] == "order:EPIC/ADT0002"


def test_who_ordered_referred_and_attends_are_kept_apart() -> None:
    message = told()
    assert field(message, "OBR-16") == field(message, "ORC-12")
    assert field(message, "OBR-16").startswith("1245319599^Ordway^Olga")
    assert "Ordway" not in field(message, "PV1-7") + field(message, "PV1-8")
    assert codes(orders=(ORDER,))["referring-from-visit"].endswith("/referringPhysicianName")
    silent = told(visit=replace(VISIT, referring=()))
    assert field(silent, "PV1-8") == field(sent(), "PV1-8")
    assert "Ordway" in field(silent, "OBR-16")


def test_each_group_has_the_ordering_provider_of_its_order() -> None:
    message = sent(orders=(order(1), order(2, ordering=())))
    first, second = (row[16] for row in all_of(message, "OBR"))
    assert "Ordway" in first
    assert "JONES" in second


def test_an_order_only_adds_patient_numbers() -> None:
    bare, message = sent(), told()
    assert field(message, "PID-3") == field(bare, "PID-3") + "~E900^^^ENTERPRISE^PI"
    assert [field(message, f"PID-{number}") for number in (5, 7, 8)] == [
        field(bare, f"PID-{number}") for number in (5, 7, 8)
    ]


def test_a_patient_without_a_number_is_still_the_study_s_own_first() -> None:
    what = study(report(snapshot={"mrn": None}))
    numbers = field(sent(what, orders=(ORDER,)), "PID-3").split("~")
    assert numbers[0] == field(sent(what), "PID-3")
    assert numbers[1:] == ["00412345^^^MERCY^MR", "E900^^^ENTERPRISE^PI"]


def test_a_receiver_of_one_bare_number_gets_no_other() -> None:
    to = profile(pid3_plain="on")
    assert field(sent(to=to, orders=(ORDER,)), "PID-3") == field(sent(to=to), "PID-3") == "00412345"


def test_a_report_about_another_patient_has_nothing_of_the_order() -> None:
    other = report(reportId="rep_" + "5" * 32, snapshot={"mrn": "777", "patientName": "ROE^RICHARD", "sex": "male"})
    what = study(report(), other)
    made = sent(what, report_id="rep_" + "5" * 32, orders=(ORDER,), seen=(what.reports[0].report_id,))
    assert (field(made, "OBR-2"), field(made, "PV1-19"), field(made, "PID-18")) == ("", "", "")
    assert "ENTERPRISE" not in field(made, "PID-3")


def test_the_procedure_stays_the_report_s_unless_the_receiver_wants_the_order_s() -> None:
    assert field(told(), "OBR-4") == field(sent(), "OBR-4")
    assert codes(orders=(ORDER,))["procedure-differs"] == "order:EPIC/MSG0001"


def test_the_order_s_procedure_keeps_the_report_s_beside_it() -> None:
    to = profile(obr4="order")
    reported = field(sent(), "OBR-4")
    message = sent(to=to, orders=(ORDER, order(2, procedure=NO_CODE)))
    first, second = (row[4] for row in all_of(message, "OBR"))
    assert first == f"CTCHWC^CT Chest W Contrast^L^{reported}"
    assert second == reported
    assert {row[44] for row in all_of(message, "OBR")} == {field(sent(), "OBR-44")}
    same = StatedCode("CTCHWC", "ct chest  with CONTRAST", "L", "24627-2", "Chest CT", "LN")
    message = sent(to=to, orders=(order(1, procedure=same),))
    assert field(message, "OBR-4") == "CTCHWC^ct chest  with CONTRAST^L^24627-2^Chest CT^LN"
    assert "procedure-differs" not in codes(to=to, orders=(order(1, procedure=same),))


def test_an_order_that_says_no_code_keeps_the_places_of_the_triplets() -> None:
    said = order(1, procedure=StatedCode(text="Chest"))
    assert field(sent(to=profile(obr4="order"), orders=(said,)), "OBR-4").startswith("^Chest^^")


def test_a_required_placer_may_come_from_the_order() -> None:
    to = profile(placer_required="on")
    assert send(to=to).output is None
    assert field(sent(to=to, orders=(ORDER,)), "OBR-2") == "PL1^EPIC"


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.7"])
def test_every_version_has_the_numbers(version: str) -> None:
    charset = {"charset": "ASCII"} if version == "2.3" else {}
    message = sent(to=profile(version=version, **charset), orders=(ORDER,))
    assert field(message, "PV1-19").startswith("V100^^^MERCYVISIT")
    assert field(message, "PID-18").startswith("AC200^^^MERCYACCT")
    assert field(message, "OBR-2") == "PL1^EPIC"


def test_a_place_of_a_value_names_the_message() -> None:
    long = order(1, placer=StatedNumber("P" * 30, "EPIC"))
    assert codes(orders=(long,))["length-exceeded"] == f"order:{MESSAGE.source}/{MESSAGE.control_id}"


def test_a_receiver_that_files_by_accession_gets_the_order_s_under_its_own_authority() -> None:
    to = profile(accession_field="3", accession="required")
    assert field(sent(to=to, orders=(ORDER,)), "OBR-3") == "ACC1^MERCYACC"
    what = study(metadata={"acc": "ACC1"})
    site = replace(SITED, accession_authority=AssigningAuthority("urn:oid:1.2.3.6", "SITEACC"))
    assert field(sent(what, site=site, to=to, orders=(ORDER,)), "OBR-3") == "ACC1^SITEACC"
    assert field(sent(what, site=site, to=to), "OBR-3") == "ACC1^SITEACC"
