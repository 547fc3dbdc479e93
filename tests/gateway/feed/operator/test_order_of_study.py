"""Explain, feed show and the certificate say why a study has no order, and nothing where nobody sends orders (D48)."""

from __future__ import annotations

import json

import pytest

from gateway.feed.operator.show import order_match
from gateway.store.database.engine import Statement, ask
from gateway.store.orders.matches import StoredMatch
from mappings.hospital.match import REASONS

_MATCH = Statement("INSERT INTO order_match VALUES (:study_id, 'held', 'several-groups', '[]', 5, '[]')")
_REMARK = Statement("UPDATE message SET remarks = 'sent-without-order' WHERE study_id = :study_id")
# Studies with one signed report, of which one message was sent
_ALONE = (
    "SELECT max(m.report_id), m.study_id FROM message m WHERE (SELECT count(*) FROM report r"
    " WHERE r.study_id = m.study_id) = 1 GROUP BY m.study_id HAVING count(*) = 1 AND max(m.is_draft) = 0 ORDER BY 2"
)
_HOLD = Statement("UPDATE outbox SET state = 'held', reason = 'order-awaited' WHERE study_id = :study_id")
_SENTENCE = REASONS["several-groups"].sentence
_LINE = f"held (several-groups): {_SENTENCE}"


async def held(here):
    """Ingest and send all; return a report and its study, whose match is held."""
    await here.sync()
    await here.served()
    ((report_id, study_id), *_) = await here.query(_ALONE)
    async with here.here.store() as engine:
        await engine.do(lambda: ask(_MATCH, study_id=study_id))
        await engine.do(lambda: ask(_REMARK, study_id=study_id))
    return report_id, study_id


async def test_explain_says_why_a_study_has_no_order(site):
    async with site() as here:
        report_id, _ = await held(here)
        _, out, _ = await here.here.run("explain", report_id)
        assert out.splitlines()[-1] == f"order: {_LINE}"
        said = json.loads((await here.here.run("explain", report_id, "--json"))[1])["order"]
        assert (said["verdict"], said["reason"], said["sentence"]) == ("held", "several-groups", _SENTENCE)


async def test_feed_show_says_why_a_study_has_no_order(site):
    async with site() as here:
        _, study_id = await held(here)
        _, lines, _ = await here.feed("show", study_id)
        assert f"  order     {_LINE}" in lines
        [first, *_] = json.loads("\n".join((await here.feed("show", study_id, "--json"))[1]))["messages"]
        assert first["order"]["reason"] == "several-groups"


async def test_the_certificate_says_which_report_was_sent_without_its_order_and_why(site, tmp_path):
    async with site() as here:
        report_id, study_id = await held(here)
        file = tmp_path / "certificate.json"
        code, lines, _ = await here.feed("certificate", "ehr", "--out", str(file))
        assert code == 0
        assert any("1 sent-without-order" in line for line in lines if line.startswith("  remarks: "))
        [line] = [
            one
            for one in json.loads(file.read_text())["destinations"][0]["reports"]
            if "sent-without-order" in one["remarks"]
        ]
        assert (line["reportId"], line["studyId"], line["order"]["reason"]) == (report_id, study_id, "several-groups")
        async with here.here.store() as engine:
            await engine.do(lambda: ask(_HOLD, study_id=study_id))
        code, lines, _ = await here.feed("certificate", "ehr")
        assert code == 1
        assert any(
            line.startswith("  held  ") and line.endswith("order-awaited  order: held (several-groups)")
            for line in lines
        )


async def test_without_orders_nothing_is_said_of_any(site, tmp_path):
    async with site() as here:
        await here.sync()
        await here.served()
        ((report_id, study_id), *_) = await here.query("SELECT report_id, study_id FROM message ORDER BY number")
        file = tmp_path / "certificate.json"
        await here.feed("certificate", "ehr", "--out", str(file))
        assert '"order"' not in file.read_text()
        assert "order" not in json.loads((await here.here.run("explain", report_id, "--json"))[1])
        assert all(
            "order" not in one
            for one in json.loads("\n".join((await here.feed("show", study_id, "--json"))[1]))["messages"]
        )


@pytest.mark.parametrize("code", sorted(REASONS))
def test_each_reason_is_said_with_its_sentence(code):
    match = StoredMatch("stu_1", REASONS[code].verdict, code, (), 5)
    assert str(order_match(match)) == f"{REASONS[code].verdict} ({code}): {REASONS[code].sentence}"
    assert order_match(match).sentence == REASONS[code].sentence


def test_a_match_names_its_orders_and_an_unknown_reason_stands_for_itself():
    assert str(order_match(StoredMatch("stu_1", "matched", "", (4, 5), 5))) == "matched: order 4, order 5"
    assert str(order_match(StoredMatch("stu_1", "held", "of-a-later-release", (), 5))) == "held (of-a-later-release)"
