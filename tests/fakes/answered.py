"""Orders of a hospital that the example study answers, with every field known, and random ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from mappings import to_fhir
from mappings.model import (
    AnsweredOrder,
    Facts,
    HospitalMessageName,
    StatedClinician,
    StatedCode,
    StatedNumber,
    StatedVisit,
    Study,
)
from mappings.profile import Site

DOCTORS = "urn:oid:2.999.1.9"
MESSAGE = HospitalMessageName("EPIC", "MSG0001")
VISIT = StatedVisit(
    number=StatedNumber("V100", "MERCYVISIT", "urn:oid:1.2.3.19"),
    account=StatedNumber("AC200", "MERCYACCT", "urn:oid:1.2.3.18"),
    patient_class="E",
    location=("ED", "12", "A"),
    attending=(StatedClinician((StatedNumber("A7", "MERCYDOC", DOCTORS),), "House", "Gregory", degree="MD"),),
    referring=(StatedClinician((StatedNumber("R8", "MERCYDOC", DOCTORS),), "Quinn", "Michaela"),),
    begun="2026-01-05T18:00:00+00:00",
    message=HospitalMessageName("EPIC", "ADT0002"),
)
ORDER = AnsweredOrder(
    order_number=1,
    placer=StatedNumber("PL1", "EPIC", "urn:oid:1.2.3.4"),
    filler=StatedNumber("FI1", "RIS", "urn:oid:1.2.3.5"),
    accession=StatedNumber("ACC1", "MERCYACC", "urn:oid:1.2.3.6"),
    procedure=StatedCode("CTCHWC", "CT Chest W Contrast", "L", "24627-2", "Chest CT", "LN"),
    priority="S",
    ordering=(
        StatedClinician(
            (StatedNumber("1245319599", "", "http://hl7.org/fhir/sid/us-npi"), StatedNumber("O9", "MERCYDOC")),
            "Ordway",
            "Olga",
            prefix="Dr",
        ),
    ),
    indication=("Chest pain",),
    notes=("Call 555",),
    patient_numbers=(
        StatedNumber("00412345", "MERCY", "urn:oid:1.2.3", "MR"),
        StatedNumber("E900", "ENTERPRISE", "urn:oid:1.2.4", "PI"),
    ),
    visit=VISIT,
    at="2026-01-05T17:55:00+00:00",
    message=MESSAGE,
)


def order(number: int = 1, **changes: Any) -> AnsweredOrder:
    """Return the order with other fields; `number` is also in its placer order number and in its message's name."""
    own = {
        "order_number": number,
        "placer": StatedNumber(f"PL{number}", "EPIC", "urn:oid:1.2.3.4"),
        "message": HospitalMessageName("EPIC", f"MSG000{number}"),
    }
    return replace(ORDER, **{**own, **changes})


def with_orders(study: Study, site: Site, facts: Facts) -> Any:
    """Map a study as if it answered an order of a visit of its own; it stands in for `to_fhir`."""
    number = StatedNumber(f"V{study.study_id[-6:]}", "HIS", "urn:oid:1.2.3.19")
    visit = replace(VISIT, number=number, begun="2026-02-28T10:00:00+00:00", ended="2026-03-01T10:00:00+00:00")
    return to_fhir(study, site, replace(facts, orders=(order(1, visit=visit, patient_numbers=()),)))


_TEXTS = st.text(
    st.one_of(st.sampled_from("|^~\\&\r\n\tAZ09 ."), st.characters(codec="utf-8", exclude_categories=["Cs"])),
    min_size=1,
    max_size=12,
).filter(lambda text: any(one.isalnum() and one.isascii() for one in text))
_SOME = st.one_of(st.just(""), _TEXTS)
_NUMBERS = st.builds(
    StatedNumber,
    value=_TEXTS,
    namespace=st.one_of(st.just("NS"), _TEXTS),
    system=st.sampled_from(("", "urn:oid:1.2.3.4", "urn:uuid:6f1c", "https://hospital.example/numbers")),
    type_code=st.sampled_from(("", "MR", "PI", "NPI")),
)
_PEOPLE = st.builds(
    StatedClinician,
    numbers=st.lists(_NUMBERS, max_size=2).map(tuple),
    **dict.fromkeys(("family", "given", "middle", "suffix", "prefix", "degree"), _SOME),
)
_VISITS = st.builds(
    StatedVisit,
    number=st.none() | _NUMBERS,
    account=st.none() | _NUMBERS,
    patient_class=st.sampled_from(("", *"IOEPRBCNU")),
    location=st.lists(_SOME, max_size=9).map(tuple),
    attending=st.lists(_PEOPLE, max_size=2).map(tuple),
    referring=st.lists(_PEOPLE, max_size=2).map(tuple),
    begun=st.sampled_from(("", "2026-01-05T18:00:00+00:00")),
    ended=st.sampled_from(("", "2026-01-06T18:00:00+00:00")),
    message=st.just(VISIT.message),
)
RANDOM_ORDERS = st.builds(
    AnsweredOrder,
    order_number=st.integers(1, 9),
    placer=st.none() | _NUMBERS,
    filler=st.none() | _NUMBERS,
    accession=st.none() | _NUMBERS,
    procedure=st.builds(
        StatedCode,
        **dict.fromkeys(("code", "text", "alternate_code", "alternate_text"), _SOME),
        system=st.sampled_from(("", "L", "LN", "C4")),
        alternate_system=st.sampled_from(("", "LN")),
    ),
    ordering=st.lists(_PEOPLE, max_size=2).map(tuple),
    indication=st.lists(_TEXTS, max_size=2).map(tuple),
    notes=st.lists(_TEXTS, max_size=2).map(tuple),
    patient_numbers=st.lists(_NUMBERS, max_size=3).map(tuple),
    visit=st.none() | _VISITS,
    at=st.sampled_from(("", "2026-01-05T17:55:00+00:00")),
    is_cancelled=st.booleans(),
    message=st.just(MESSAGE),
)
