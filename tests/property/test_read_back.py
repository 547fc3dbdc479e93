"""Law of reading back: from FHIR and ORU^R01 a study equals AutoScribe's, but for the losses in docs/losses.md (D6)."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fakes import pitfalls
from fakes.patients import patients
from fakes.read_back import fhir, oru
from fakes.read_back.losses import ABSENT, LOSSES, Loss, lose_fhir, lose_hl7v2, lost, said
from fakes.read_back.oddities import SITE, odd_studies
from fakes.read_back.telling import Language, Told
from fakes.scale import examples
from fakes.seeded import documents
from fakes.wire_strategies import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.convert import read
from gateway.sandbox.seed import generate
from mappings import decode, to_fhir, to_oru
from mappings.model import Cause, Facts, Study
from mappings.patient.identifiers import mrn_number
from mappings.profile import Site, parse_site
from mappings.trace.sample import document, everything

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
AT = datetime(2026, 1, 7, 12, tzinfo=UTC)
SEEDED = 320
LIMITS = settings(max_examples=examples(75))
HOLDING = replace(pitfalls.SITE, send_drafts=False, on_cancelled_after_sign="hold", on_conflict="send")
LANGUAGES: tuple[Language, ...] = ("fhir", "hl7v2")
Record = Callable[[str, object], None]
SITES = (SITE, replace(SITE, send_drafts=True, on_cancelled_after_sign="withdraw"), HOLDING, Site(on_conflict="send"))


class Case(NamedTuple):
    """A study, and its site and facts."""

    study: Study
    site: Site
    facts: Facts = Facts()


@cache
def cases() -> tuple[Case, ...]:
    """Return the oddities, the seeded accounts with and without pitfalls, and every golden case."""
    golden = parse_site((GOLDEN / "site.toml").read_text())
    odd = list(odd_studies())
    return (
        *(Case(study, site) for study in odd for site in SITES[:2]),
        *(Case(replace(study, is_cancelled=True), SITES[1]) for study in odd),
        *(Case(decode(*wire), HOLDING) for wire in documents(generate(seed=5, studies=SEEDED))),
        *(Case(decode(one.study, one.response, one.users), pitfalls.SITE, one.facts) for one in pitfalls.generated()),
        *(
            Case(read(path.read_bytes())[0][0], golden)
            for path in sorted(chain(GOLDEN.glob("*/wire.json"), GOLDEN.glob("life/*/*.json")))
        ),
    )


def told_in(language: Language, case: Case) -> Iterator[tuple[Told, Study]]:
    """Yield the outputs of a study with the study read back: once in FHIR, and in HL7 v2 for each patient."""
    study, site, facts = case
    if language == "fhir":
        yield Told("fhir", *case), said(fhir.study_of(to_fhir(study, site, facts).output, site))
        return
    is_withdrawn = bool(study.is_cancelled) and site.on_cancelled_after_sign == "withdraw"
    for group in patients(study, site) if study.study_type != "external" else ():
        cause = Cause(group[0].report_id, sent_before=is_withdrawn)
        message = to_oru(study, cause, site, everything(), facts, control_id="1", at=AT).output
        if message is None:  # held: the MRN of a report is a CX of another authority (D11)
            assert any(mrn_number(one.snapshot, site) is None for one in group)
            continue
        yield Told("hl7v2", *case, cause), said(oru.study_of(message, site))


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Places where two studies differ, without the values."""
    if one == other:
        return []
    if is_dataclass(one) and type(one) is type(other):
        names = [field.name for field in fields(one)]
        return [
            found
            for name in names
            for found in differences(getattr(one, name), getattr(other, name), f"{place}.{name}")
        ]
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        return [
            found
            for index, pair in enumerate(zip(one, other, strict=True))
            for found in differences(*pair, f"{place}[{index}]")
        ]
    return [place]


@cache
def read_back(language: Language) -> tuple[list[str], Counter[Loss]]:
    """Find differences beyond the losses, and count the outputs with each loss."""
    faults: list[str] = []
    counts: Counter[Loss] = Counter()
    for number, case in enumerate(cases()):
        for told, understood in told_in(language, case):
            left, losses = lost(case.study, told)
            faults += [f"case {number} ({case.study.study_id}){place}" for place in differences(left, understood)]
            counts.update(losses)
    return faults, counts


@pytest.mark.full
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_read_back_is_what_was_said_but_for_the_losses(language: Language, record_property: Record) -> None:
    """Every loss must occur; otherwise the table would excuse a loss that never happens."""
    faults, found = read_back(language)
    counts = {loss: found[loss] for loss in LOSSES if loss.language == language}
    rows = [f"{count:6}  {loss.code or 'not there':20}  {loss.leaf}: {loss.reason}" for loss, count in counts.items()]
    record_property("losses", [f"{language}: of {len(cases())} studies read back, with this lost:", *rows])
    assert len(cases()) >= SEEDED + 300
    assert faults == []
    assert [loss.code or loss.leaf for loss, count in counts.items() if not count] == []


def test_the_tables_of_what_is_not_there_keep_to_what_may_be_lost() -> None:
    """D6: FHIR loses no field of a report; HL7 v2 only fields without a place there, and AutoScribe's workflow."""
    absent = {
        language: {one.leaf for one in LOSSES if (one.language, one.code) == (language, ABSENT)}
        for language in LANGUAGES
    }
    assert [leaf for leaf in absent["fhir"] if leaf.startswith("/reports/")] == []
    assert {leaf for leaf in absent["hl7v2"] if leaf.startswith("/reports/")} == {
        "/reports/*/createdAt",
        "/reports/*/updatedAt",
        "/reports/*/snapshotMetadata/age",
    }


@LIMITS
@given(studies(), st.sampled_from(SITES))
def test_whatever_the_wire_allows_is_read_back_from_fhir(wire: Any, site: Site) -> None:
    study = decode(*wire)
    for _, understood in told_in("fhir", Case(study, site)):
        assert differences(lose_fhir(study, site), understood) == []


@LIMITS
@given(studies(), st.sampled_from(SITES))
def test_whatever_the_wire_allows_is_read_back_from_each_message(wire: Any, site: Site) -> None:
    study = decode(*wire)
    for told, understood in told_in("hl7v2", Case(study, site)):
        assert told.cause is not None
        assert differences(lose_hl7v2(study, told.cause, site), understood) == []


def test_a_reader_tells_two_studies_apart() -> None:
    study = next(odd_studies())
    other = replace(study, clinical_history="none", reports=(replace(study.reports[0], is_critical=None),))
    for language in LANGUAGES:
        ((_, one),), ((_, two),) = (tuple(told_in(language, Case(which, SITE))) for which in (study, other))
        assert differences(one, two) == [".reports[0].is_critical", ".clinical_history"]


def rows_of(title: str) -> list[tuple[str, ...]]:
    """Rows of a table of docs/losses.md, without code marks."""
    text = (ROOT / "docs" / "losses.md").read_text()
    section = text.split(f"## {title}\n")[1].split("\n## ")[0].split("Left out where")[0]
    rows = [line.strip("|").split(" | ") for line in section.split("\n") if line.startswith("| ")]
    return [tuple(map(plain, row)) for row in rows[2:]]


@pytest.mark.parametrize(("language", "title"), [("fhir", "FHIR"), ("hl7v2", "HL7 v2")])
def test_the_documents_state_every_loss_and_nothing_else(language: Language, title: str) -> None:
    own = [loss for loss in LOSSES if loss.language == language]
    changed = [(loss.code, loss.leaf, loss.when, loss.reason) for loss in own if loss.code != ABSENT]
    absent = {(loss.leaf, loss.reason) for loss in own if loss.code == ABSENT}
    assert sorted(rows_of(f"Changed in {title}")) == sorted(tuple(map(plain, row)) for row in changed)
    stated = set(rows_of(f"Not in {title}"))
    assert absent <= stated
    assert [leaf for leaf, _ in sorted(stated - absent) if is_read(leaf)] == []


def plain(text: str) -> str:
    """Remove the Markdown marks from a cell."""
    return text.strip().replace("`", "").replace("\\|", "|")


def is_read(pattern: str) -> bool:
    """True if decoding reads a leaf: with another value, or without it, the model differs."""
    changed = copy.deepcopy(document())
    *way, last = [step for step in pattern.split("/")[1:] if step != "**"]
    places: list[Any] = [changed]
    for step in way:
        places = [inner for place in places for inner in (place if step == "*" else [place[step]])]
    for place in places:
        value = place.pop(last)
        if isinstance(value, bool | str):
            place[last] = not value if isinstance(value, bool) else f"{value}, changed"
    return said(decoded(document())) != said(decoded(changed))


def decoded(whole: dict[str, Any]) -> Study:
    return decode(whole, {key: whole[key] for key in ("studyId", "studyInstanceUid", "reports")}, whole["users"])
