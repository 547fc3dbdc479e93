"""A converter's conclusion from our HL7 v2 with addenda of all forms is never a superseded statement alone.

https://build.fhir.org/ig/HL7/v2-to-fhir/, decision D36. hl7v2-fhir-bridge makes a conclusion of impression lines.
LinuxForHealth makes none: its reader has the whole text, in which the newest addendum must come first.
"""

from __future__ import annotations

import base64
from functools import cache
from random import Random
from typing import Any

import pytest
from conformance.converters import CONVERTERS
from fakes.addenda import Life, life, words_of
from fakes.oru_example import SITE, sent
from fakes.scale import examples

from mappings.profile import receiver

pytestmark = pytest.mark.timeout(600)
LIVES = examples(600)


@cache
def lives() -> list[Life]:
    random = Random(36)
    return [life(random.choice) for _ in range(LIVES)]


@cache
def reports(converter: str) -> list[dict[str, Any]]:
    """The DiagnosticReport that a converter makes of the message of each life."""
    told = [sent(one.study, site=SITE, to=receiver("fhir-converter")).decode() for one in lives()]
    bundles = [[entry["resource"] for entry in bundle["entry"]] for bundle in CONVERTERS[converter](told)]
    return [next(one for one in bundle if one["resourceType"] == "DiagnosticReport") for bundle in bundles]


def text_of(report: dict[str, Any]) -> str:
    forms = report.get("presentedForm", ())
    return "\n".join(base64.b64decode(one["data"]).decode() for one in forms if "data" in one)


def test_the_bridge_concludes_with_the_newest_addendum_first_and_keeps_the_impression() -> None:
    for lived, report in zip(lives(), reports("bridge"), strict=True):
        found, count = words_of(report.get("conclusion", "")), len(lived.addenda)
        assert found[:count] == lived.concluded[:count]
        assert sorted(found[count:]) == sorted(lived.concluded[count:])


@pytest.mark.parametrize("converter", CONVERTERS)
def test_whoever_reads_the_text_alone_reads_every_statement(converter: str) -> None:
    for lived, report in zip(lives(), reports(converter), strict=True):
        assert set(words_of(text_of(report))) == set(lived.concluded)


def test_there_are_addenda_of_every_form() -> None:
    assert {len(one.addenda) for one in lives()} == {0, 1, 2, 3}
    assert sum(bool(one.own) for one in lives()) > 20
