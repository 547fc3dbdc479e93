"""Laws of enriched output: any text of a hospital's order leaves as it came (HL7 v2.5.1 §2.7, R4 json; D2, D48)."""

from __future__ import annotations

import hl7
import pytest
from fakes import er7_reader
from fakes.answered import RANDOM_ORDERS
from fakes.oru_example import SITE, profile, send, study
from fakes.scale import examples
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.fhir import to_fhir
from mappings.fhir.datatypes import line
from mappings.fhir.judge import judge
from mappings.hl7v2.er7 import escape
from mappings.model import AnsweredOrder, Facts
from mappings.study.orders import common_visit
from mappings.values.text import lines

LIMITS = settings(max_examples=examples(60))
ORDERS = st.lists(RANDOM_ORDERS, min_size=1, max_size=3, unique_by=lambda one: one.order_number).map(tuple)


def written(text: str) -> str:
    """Value as the standard wants it: one line, the delimiters as escape sequences."""
    return escape((text if text.isprintable() else " ".join(lines(text))).strip())


@LIMITS
@given(ORDERS, st.sampled_from(("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.7")), st.sampled_from(("report", "order")))
def test_each_placer_and_visit_number_arrives_as_the_hospital_wrote_it(
    orders: tuple[AnsweredOrder, ...], version: str, obr4: str
) -> None:
    charset = {"charset": "8859/1"} if version == "2.3" else {}
    message = send(to=profile(version=version, obr4=obr4, **charset), orders=orders).output
    assert message is not None
    if charset:
        return
    groups = er7_reader.all_of(message, "OBR")
    assert len(groups) == len(orders)
    told = [row[2].split("^")[0] for row in groups]
    assert told == [written(one.placer.value) if one.placer else "" for one in orders]
    visit, _ = common_visit(orders)
    number = visit.number if visit else None
    assert er7_reader.field(message, "PV1-19").split("^")[0] == (written(number.value) if number else "")
    assert [row[0] for row in hl7.parse(message.decode())][:3] == [["MSH"], ["PID"], ["PV1"]]


@pytest.mark.full
@settings(LIMITS, max_examples=examples(10))
@given(ORDERS)
def test_another_reader_takes_the_message(orders: tuple[AnsweredOrder, ...]) -> None:
    message = send(study(), site=SITE, orders=orders).output
    assert message is not None
    read = parse_message(message.decode(), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
    assert len(read.children) == message.count(b"\r")


@LIMITS
@given(ORDERS)
def test_resources_of_any_order_pass_the_judge_and_refer_to_each_other(orders: tuple[AnsweredOrder, ...]) -> None:
    resources = to_fhir(study(), SITE, Facts(orders=orders)).output
    assert [judge(resource) for resource in resources] == [()] * len(resources)
    made = [f"{one['resourceType']}/{one['id']}" for one in resources]
    assert len(set(made)) == len(made)
    referred = [one["encounter"]["reference"] for one in resources if "encounter" in one]
    assert set(referred) <= set(made)
    asked = [one for one in resources if one["resourceType"] == "ServiceRequest"]
    assert len(asked) == len(orders)
    for request, order in zip(asked, orders, strict=True):
        numbers = {one["type"]["coding"][0]["code"]: one["value"] for one in request.get("identifier", ())}
        assert numbers.get("PLAC") == (line(order.placer.value) if order.placer else None)
        assert numbers.get("FILL") == (line(order.filler.value) if order.filler else None)
