"""Each order control of HL7 table 0119, with each status of table 0038 where that decides (§4.5.1.1, §4.5.1.5)."""

import pytest

from mappings.hl7v2.inbound.order_control import ORDER_CONTROLS, STATUS_EFFECTS, order_effect

# The whole table, written a second time: effect -> order controls
BY_EFFECT = {
    "open": "NW SN RO PA CH UC UD UM",
    "change": "OK XO",
    "number": "NA",
    "cancel": "CA OC CR DC OD DR UA",
    "replaced": "RP RU RQ",
    "nothing": "HD OH HR UH RL OE OR UR UN UX AF DF FU OF RF UF OP PY CN DE LI PR RE RR SS",
}
BY_STATUS = {
    "SC": {"": "nothing", "CA": "cancel", "DC": "cancel", "RP": "cancel", "ER": "nothing"},
    "SR": {"": "nothing", "CA": "cancel", "DC": "cancel", "RP": "cancel", "ER": "nothing"},
    "XX": {"": "change", "CA": "cancel", "DC": "cancel", "RP": "cancel", "ER": "nothing"},
    "XR": {"": "change", "CA": "cancel", "DC": "cancel", "RP": "cancel", "ER": "nothing"},
}
STATUSES = ["A", "CA", "CM", "DC", "ER", "HD", "IP", "RP", "SC"]


@pytest.mark.parametrize(("effect", "controls"), BY_EFFECT.items())
@pytest.mark.parametrize("status", ["", *STATUSES])
def test_an_order_control_has_one_effect_whatever_the_status_is(effect, controls, status):
    for control in controls.split():
        assert order_effect(control, status)[0] == effect, control


@pytest.mark.parametrize("control", BY_STATUS)
@pytest.mark.parametrize("status", ["", *STATUSES])
def test_the_status_decides_what_a_filler_tells(control, status):
    assert order_effect(control, status)[0] == BY_STATUS[control].get(status, "change")


def test_the_two_tables_have_every_code():
    assert set(" ".join(BY_EFFECT.values()).split()) | set(BY_STATUS) == ORDER_CONTROLS
    assert set(STATUSES) == set(STATUS_EFFECTS)


@pytest.mark.parametrize(
    ("control", "status", "issue"),
    [
        ("ZZ", "", "order-control-unknown"),
        ("nw", "", "order-control-unknown"),
        ("", "IP", "order-control-missing"),
        ("SC", "", "order-status-missing"),
        ("SC", "Q", "order-status-unknown"),
        ("XX", "", None),
        ("NW", "CA", "order-status-contradicts"),
        ("XO", "DC", "order-status-contradicts"),
        ("CA", "CA", None),
        ("NW", "SC", None),
    ],
)
def test_what_the_tables_do_not_have_is_an_issue(control, status, issue):
    assert order_effect(control, status)[1] == issue


def test_an_unknown_order_control_changes_nothing():
    assert order_effect("ZZ", "CA")[0] == "nothing"
    assert order_effect("SC", "Q")[0] == "nothing"
