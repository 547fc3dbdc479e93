"""`orders list | show | match | release`: ids, codes and numbers, each use audited; decisions D12, D48."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes import hospital
from fakes.commanded import Open, sites
from fakes.ordered import KEPT_OF, Ordered, ordered
from fakes.printed_answers import answer_of

from gateway.ingest.orders.apply_orders import found_by
from gateway.settings import load
from gateway.store.database.engine import Statement, ask
from gateway.store.database.kept import kept, packed
from gateway.store.enrichment import note_told
from gateway.store.orders.hospital import put_order
from gateway.store.orders.numbers import add_change
from mappings.hospital.authorities import Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import HospitalPatient
from mappings.hospital.groups import ResolvedChange
from mappings.model import AnsweredOrder, HospitalMessageName
from mappings.patient.identifiers import mrn_key

_HOLD = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, reason, is_move, decided)"
    " VALUES (:study_id, 'rep_1', 'signed', 'v', 'ehr', 'held', 'order-awaited', 0, 1)"
)
_NEWS = Statement(
    "INSERT INTO order_news (study_id, destination, code, outcome, at)"
    " VALUES (:study_id, 'ehr', 'sent-without-order', 'noted', 1780000000000000)"
)
_WRONG = Statement(
    "INSERT INTO order_news (study_id, destination, code, outcome, at)"
    " VALUES (:study_id, 'ehr', 'wrong-visit-sent', 'noted', 1780000000000000)"
)
_PUT_KEPT = Statement("UPDATE study SET kept = :kept WHERE study_id = :study_id")


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Open]:
    with sites(tmp_path, capsys) as opened:
        yield opened


async def test_studies_without_an_order_are_listed_with_the_reason_in_words(site):
    async with site() as opened:
        here = await ordered(opened)
        code, out, _ = await here.orders("list")
        assert code == 0
        assert out.splitlines() == [
            f"{here.study_id}  held (several-groups): Orders of several patients have the numbers, and nothing exact"
            " decides.  since 2026-05-28T20:26:40.000000Z",
            "1 study",
        ]
        assert [verb for verb, *_ in await here.audited()] == ["orders-list"]


async def test_studies_are_listed_by_state_and_by_time(site):
    async with site() as opened:
        here = await ordered(opened)
        listed = [("held", 1), ("refused", 0), ("none", 0), ("matched", 0), ("waiting", 0)]
        for state, count in listed:
            assert (await here.orders("list", "--state", state))[1].splitlines()[-1].startswith(f"{count} stud")
        assert (await here.orders("list", "--since", "2026-05-29"))[1] == "0 studies\n"
        await here.write(_HOLD)
        code, out, _ = await here.orders("list", "--state", "waiting", "--json")
        [row] = json.loads(out)
        assert (code, row["studyId"], row["waitsAt"]) == (0, here.study_id, ["ehr"])
        assert (row["verdict"], row["reason"]) == ("held", "several-groups")
        assert "; waits at ehr" in (await here.orders("list"))[1]
        assert (await here.orders("list", "--state", "waiting", "--since", "2026-05-29"))[1] == "0 studies\n"


async def test_a_study_is_shown_with_the_orders_near_it_and_what_speaks_against_each(site):
    async with site() as opened:
        here = await ordered(opened)
        await here.write(_HOLD)
        await here.write(_NEWS)
        code, out, _ = await here.orders("show", here.study_id, "--reason", "asked by the ward")
        assert code == 0
        lines = out.splitlines()
        assert lines[0].startswith(f"{here.study_id}  held (several-groups): Orders of several patients")
        assert "  held     order-awaited at ehr" in lines
        assert any(line.startswith("  news     sent-without-order at ehr, 2026-") for line in lines)
        against = {line.split()[2]: line.partition(", against it ")[2] for line in lines if line.startswith("  near")}
        assert against == {
            str(here.hers): "",
            str(here.another): "patient-number-differs",
            str(here.cancelled): "order-cancelled",
        }
        assert "placer P1, accession A1, of his" in out
        assert "X83751" not in out  # no patient number
        assert await here.audited() == [("orders-show", here.study_id, "asked by the ward")]


async def test_an_order_is_shown_with_the_studies_near_it(site):
    async with site() as opened:
        here = await ordered(opened)
        code, out, _ = await here.orders("show", str(here.hers))
        assert code == 0
        assert f"  {here.study_id}  held (several-groups)" in out
        said = json.loads((await here.orders("show", str(here.hers), "--json"))[1])
        assert (said["order"]["placer"], said["studies"][0]["isAnswered"]) == ("P1", False)
        assert {verb for verb, *_ in await here.audited()} == {"orders-show"}


async def test_an_order_whose_numbers_have_no_authority_is_shown_as_such(site):
    async with site() as opened:
        here = await ordered(opened)
        async with opened.store() as engine:
            made = hospital.order(source=OrderSource("hub"), about=HospitalPatient(numbers=(here.mrn,)))
            bare = await engine.do(lambda: put_order(None, made, ["near"], 5))
        out = (await here.orders("show", here.study_id))[1]
        (line,) = [line for line in out.splitlines() if line.startswith(f"  near     order {bare} ")]
        assert line.endswith("against it: accession without authority")
        assert out.count("accession without authority") == 1
        shown = (await here.orders("show", str(bare)))[1]
        assert "without authority: accession, placer" in shown
        said = json.loads((await here.orders("show", str(bare), "--json"))[1])
        assert said["order"]["withoutAuthority"] == ["accession", "placer"]


async def test_a_study_that_was_sent_with_another_patients_visit_is_listed_with_the_destination(site):
    async with site() as opened:
        here = await ordered(opened, "matched", "", "[1]")
        assert (await here.orders("list", "--state", "wrong-visit"))[1] == "0 studies\n"
        await here.write(_WRONG)
        lines = (await here.orders("list", "--state", "wrong-visit"))[1].splitlines()
        assert lines[0].startswith(f"{here.study_id}  matched: order 1  since ")
        assert lines[0].endswith("; another patient's visit was sent to ehr")
        (said,) = json.loads((await here.orders("list", "--state", "wrong-visit", "--json"))[1])
        assert said["wrongVisitAt"] == ["ehr"]


async def test_refused_news_of_a_visit_are_shown_with_their_message(site):
    async with site() as opened:
        here = await ordered(opened, "matched", "", "[1]")
        async with opened.store() as engine:
            known = kept((await engine.fetch(KEPT_OF, study_id=here.study_id))[0][0])
            order = AnsweredOrder(here.hers, refused=(HospitalMessageName("his", "M7"),))
            stored = packed(replace(known, facts=replace(known.facts, orders=(order,))))
            await engine.do(lambda: ask(_PUT_KEPT, study_id=here.study_id, kept=stored))
        out = (await here.orders("show", here.study_id))[1]
        assert f"  refused  message M7 of his: about another patient, beside order {here.hers}" in out.splitlines()


async def test_a_matched_study_is_shown_with_its_orders_and_the_decision(site):
    async with site() as opened:
        here = await ordered(opened, "matched", "", "[1]")
        assert (await here.orders("match", here.study_id, str(here.hers), "--reason", "by hand"))[0] == 0
        out = (await here.orders("show", here.study_id))[1]
        assert f"{here.study_id}  matched: order 1  since " in out
        assert f"  decided  match order {here.hers}, 20" in out
        assert f"  answers  order {here.hers}  open" in out
        assert "  answers it" in (await here.orders("show", str(here.hers)))[1]
        said = json.loads((await here.orders("show", here.study_id, "--json"))[1])
        assert said["decision"]["orders"] == [here.hers]


@pytest.mark.parametrize("what", ["stu_" + "0" * 32, "4711"])
async def test_what_is_not_stored_is_not_shown(site, what):
    async with site() as opened:
        here = await ordered(opened)
        code, out, _ = await here.orders("show", what)
        assert (code, out.startswith("no such ")) == (1, True)


async def test_what_is_neither_a_study_nor_an_order_is_refused(site):
    async with site() as opened:
        code, _, err = await opened.run("orders", "show", "ACC-1")
        assert (code, "neither a study nor the number of an order" in err) == (2, True)


async def test_an_operator_decides_that_a_study_answers_an_order(site):
    async with site() as opened:
        here = await ordered(opened)
        code, out, _ = await here.orders("match", here.study_id, str(here.hers), "--reason", "the ward said so")
        assert (code, out) == (
            0,
            f"{here.study_id} answers order {here.hers}: the running service ingests it again\n",
        )
        assert await here.decided() == [(here.study_id, "match", f"[{here.hers}]")]
        argument = f"{here.study_id} order {here.hers}"
        assert await here.audited() == [("orders-match", argument, "the ward said so")]
        requests = await opened.query("SELECT verb, argument FROM control WHERE done IS NULL")
        assert ("refresh", here.study_id) in requests


@pytest.mark.parametrize(("which", "code"), [("another", "patient-number-differs"), ("cancelled", "order-cancelled")])
async def test_no_operator_files_a_report_under_another_patient_or_a_cancelled_order(site, which, code):
    async with site() as opened:
        here = await ordered(opened)
        number = str(getattr(here, which))
        exited, out, _ = await here.orders("match", here.study_id, number, "--reason", "r")
        assert (exited, out.startswith(f"refused ({code}): "), "Nothing was decided." in out) == (1, True, True)
        said = json.loads((await here.orders("match", here.study_id, number, "--reason", "r", "--json"))[1])
        assert said["refused"] == code
        assert await here.decided() == await here.audited() == []


async def test_no_operator_answers_an_order_of_a_patient_whose_merge_is_held(site):
    async with site() as opened:
        here = await ordered(opened)
        old = HospitalNumber("patient", here.system, "MR", mrn_key(here.mrn.value))
        change = ResolvedChange(old, old._replace(value="X83751"))
        async with opened.store() as engine:
            name = HospitalMessageName("his", "1")
            await engine.do(lambda: add_change(change, "X83751", name, "merge-cycle", 5))
        code, out, _ = await here.orders("match", here.study_id, str(here.hers), "--reason", "r")
        assert (code, out.startswith("refused (merge-held): ")) == (1, True)
        assert await here.decided() == []


async def test_a_number_that_autoscribe_has_from_the_gateway_outweighs_no_other_name(site):
    async with site() as opened:
        here = await ordered(opened)
        about = HospitalPatient((here.mrn,), "NOBODY", "ELSE", born="19010101", sex="O")
        made = hospital.order(source=OrderSource("his", here.facility), about=about)
        async with opened.store() as engine:
            other = await engine.do(lambda: put_order(None, made, ["near"], 5))
            uid = kept((await engine.fetch(KEPT_OF, study_id=here.study_id))[0][0]).study.study_instance_uid
            await note_told(engine, uid, [here.mrn.value], [here.mrn.value], hospital.NOW)
        code, out, _ = await here.orders("match", here.study_id, str(other), "--reason", "r")
        assert (code, out.startswith("refused (patient-conflict): ")) == (1, True)
        assert await here.decided() == []


async def keyed(here: Ordered, **told: Any) -> int:
    """Store an order of the study's patient as messages do, found by its own numbers; return its number."""
    source = OrderSource(told.pop("source", "his"), here.facility)
    made = hospital.order(source=source, about=HospitalPatient(numbers=(here.mrn,)), **told)
    async with here.site.store() as engine:
        keys = found_by(made, Authorities(load(here.site.folder / "gateway.toml").site))
        return await engine.do(lambda: put_order(None, made, keys, 5))


async def test_no_operator_names_a_part_of_a_group_only(site):
    async with site() as opened:
        here = await ordered(opened)
        one, two = [await keyed(here, placer=placer, accession="A7") for placer in ("P7", "P8")]
        code, out, _ = await here.orders("match", here.study_id, str(one), "--reason", "r")
        together = "Orders of one patient under one accession number are answered together."
        assert (code, out) == (
            1,
            f"refused (group-in-part): {together} Name order {two} too. Nothing was decided.\n",
        )
        said = json.loads((await here.orders("match", here.study_id, str(one), "--reason", "r", "--json"))[1])
        assert (said["refused"], said["leftOut"]) == ("group-in-part", [two])
        assert await here.decided() == []
        assert (await here.orders("match", here.study_id, str(two), str(one), "--reason", "r"))[0] == 0


async def test_no_operator_answers_an_order_that_another_source_cancelled(site):
    async with site() as opened:
        here = await ordered(opened)
        hers = await keyed(here, placer="P7", accession="A7")
        later = hospital.ORDERED + timedelta(hours=1)
        await keyed(here, placer="P7", accession=None, source="ris", effect="cancel", at=later)
        code, out, _ = await here.orders("match", here.study_id, str(hers), "--reason", "r")
        assert (code, out.startswith("refused (order-cancelled): ")) == (1, True)
        assert await here.decided() == []


async def test_several_orders_are_answered_together_unless_one_is_another_patient_s(site):
    async with site() as opened:
        here = await ordered(opened)
        both = (here.study_id, str(here.hers), str(here.another))
        assert (await here.orders("match", *both, "--reason", "r"))[0] == 1
        assert await here.decided() == []


async def test_a_study_or_an_order_that_is_not_stored_is_no_match(site):
    async with site() as opened:
        here = await ordered(opened)
        for study_id, number in (("stu_" + "0" * 32, str(here.hers)), (here.study_id, "4711")):
            code, _, err = await here.orders("match", study_id, number, "--reason", "r")
            assert (code, "is stored" in err) == (2, True)
        assert await here.decided() == []


async def test_an_operator_lets_a_report_go_without_an_order(site):
    async with site() as opened:
        here = await ordered(opened)
        code, out, _ = await here.orders("release", here.study_id, "--reason", "no order was made")
        assert (code, out) == (
            0,
            f"{here.study_id} goes without an order: the running service ingests it again\n",
        )
        said = json.loads((await here.orders("release", here.study_id, "--reason", "r", "--json"))[1])
        assert said == {"studyId": here.study_id, "decision": "release", "orders": []}
        assert await here.decided() == [(here.study_id, "release", "[]")]
        code, _, err = await here.orders("release", "stu_" + "0" * 32, "--reason", "r")
        assert (code, "no such study is stored" in err) == (2, True)


async def test_the_commands_print_the_answer_of_their_function(site):
    async with site() as opened:
        here = await ordered(opened)
        for function, *command in (
            ("feed.operator.study_decisions.list_orders", "list"),
            ("cli.order_show.show", "show", here.study_id),
            ("cli.order_show.show", "show", str(here.hers)),
            ("feed.operator.study_decisions.match_orders", "match", here.study_id, str(here.another), "--reason", "r"),
            ("feed.operator.study_decisions.match_orders", "match", here.study_id, str(here.hers), "--reason", "r"),
            ("cli.order_show.show", "show", here.study_id),
        ):
            await answer_of(here.site, function, "orders", *command)
            await answer_of(here.site, function, "orders", *command, "--json")
