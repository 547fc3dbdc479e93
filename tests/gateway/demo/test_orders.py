"""The demo's hospital: its settings, the numbers in the studies, and the comparison of the order's number (D48)."""

from __future__ import annotations

import pytest

from gateway.demo.orders import hospital_source, order_row, with_orders
from gateway.demo.rounds import play
from gateway.demo.stage import Ports, demo_site, stage
from gateway.sandbox.his_telling import HisTruth

TRUTH = HisTruth("stu_1", "order-before", "SBXGEN", ("P1", "P2"))
MESSAGE = b"MSH|^~\\&|A|B\rOBR|1|P2^SBXGENHIS|x\rOBR|2|P1^SBXGENHIS|x\r"


def request(value, code="PLAC"):
    return {"identifier": [{"type": {"coding": [{"code": code}]}, "value": value}, {"value": "other"}]}


@pytest.mark.parametrize(
    ("requests", "message", "agrees"),
    [
        ([request("P1"), request("P2")], MESSAGE, True),
        ([request("P1")], MESSAGE, False),
        ([request("P1"), request("P2", "FILL")], MESSAGE, False),
        ([request("P1"), request("P2")], MESSAGE.replace(b"P2^", b"P3^"), False),
        ([], b"MSH|^~\\&|A|B\rOBR|1||x\r", False),
    ],
)
def test_the_order_agrees_only_if_all_three_have_the_same_numbers(requests, message, agrees):
    row = order_row(TRUTH, requests, message)
    assert (row.what, row.autoscribe, row.agrees) == ("order", "P1, P2", agrees)


def test_the_source_speaks_for_every_issuer_of_the_site():
    site = with_orders(demo_site())
    named = {(one["namespace"], one["system"]) for one in hospital_source(1).authorities}
    issuers = {(one.namespace, one.system) for row in site.facilities.values() for one in row.authorities}
    assert issuers < named
    assert {name for name, system in named if not system} == {"SBXGENVN", "SBXLAKEVN", "SBXMTNVN", "SBXWCVN"}
    assert site.default_facility in site.facilities.values()


async def test_a_report_goes_out_with_the_number_of_its_order():
    async with stage(Ports(0, 0, 0, 0), on_message=lambda _: None) as playing:
        signed = playing.account.sign_new()
        played = await play(playing, signed.report_id, signed.study_id)
        truth = playing.his.truths[signed.study_id]
    assert truth.workflow == "order-before"
    assert (played.order.autoscribe, played.order.agrees) == (", ".join(sorted(truth.orders)), True)
