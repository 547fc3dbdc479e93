"""The demo's hospital: its settings, the numbers in the studies, and the comparison of the order's number (D48)."""

from __future__ import annotations

import asyncio

import pytest

from gateway.demo.orders import DemoHospital, hospital_source, order_row, with_orders
from gateway.demo.stage import Ports, demo_site, stage
from gateway.sandbox.his_telling import HisTruth
from gateway.sandbox.receiver import MllpReceiver
from mappings.hl7v2.inbound import SourceRules, read_hospital_message
from mappings.hl7v2.received import read
from mappings.hospital.authorities import Authorities, OrderKey, OrderSource
from mappings.hospital.events import Authority

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
    named = {(one["namespace"], one["system"]) for one in hospital_source(1)["authorities"]}
    issuers = {(one.namespace, one.system) for row in site.facilities.values() for one in row.authorities}
    assert issuers < named
    assert {name for name, system in named if not system} == {"SBXGENVN", "SBXLAKEVN", "SBXMTNVN", "SBXWCVN"}
    assert site.default_facility in site.facilities.values()


async def test_a_study_that_is_signed_has_the_number_of_an_order_that_was_sent():
    async with MllpReceiver("127.0.0.1", 0) as listener:
        hospital = DemoHospital(listener.port)
        async with stage(Ports(0, 0, 0), on_message=lambda _: None, hospital=hospital) as playing:
            signed = playing.account.sign_new()
            async with asyncio.timeout(30):
                await playing.his.settled()
            site = playing.configuration.site
            number = playing.account.find_study(signed.study_id)["metadata"]["accession"]
            truth = playing.his.truths[signed.study_id]
        sent = [one.payload for one in listener.messages]
    rules = SourceRules(authorities=tuple(Authority(one["namespace"]) for one in hospital_source(1)["authorities"]))
    told = [read_hospital_message(read(one), rules) for one in sent]
    orders = [one for message in told for one in message.orders if one.placer.value in truth.orders]
    keys = {Authorities(site).order_key("accession", one.accession, OrderSource("x")) for one in orders}
    assert truth.workflow in ("order-before", "unknown-facility")
    assert {(key.kind, key.value) for key in keys if isinstance(key, OrderKey)} == {("accession", number)}
