"""An entry of the audit is a valid AuditEvent of R4, and follows the patterns of IHE BALP.

https://profiles.ihe.net/ITI/BALP/
"""

from __future__ import annotations

import base64
import json

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.audit_entry import AuditEntry
from gateway.audit.audit_event import KINDS, audit_event, event_id, instant_of, outcome_of

DIGEST = "a" * 64
OWN = "https://own.example"
READ = AuditEntry(
    at=1_000_001,
    kind="read",
    client="client-1",
    user="u1",
    address="10.0.0.1",
    request="r1",
    route="GET /DiagnosticReport/{id}",
    status=200,
    shown=("DiagnosticReport/rep-1", "Patient/pat-1"),
    patients=("pat-1",),
    parameters=(("_format", DIGEST),),
    why="why",
)


def is_valid(event):
    get_fhir_model_class("AuditEvent").model_validate(json.loads(json.dumps(event)))


@given(
    st.builds(
        AuditEntry,
        at=st.integers(0, 2**52),
        kind=st.sampled_from(sorted(KINDS)),
        client=st.sampled_from(["", "client-1"]),
        user=st.sampled_from(["", "user"]),
        host=st.sampled_from(["", "host"]),
        address=st.sampled_from(["", "10.0.0.1", "::1"]),
        request=st.sampled_from(["", "0011223344556677"]),
        route=st.sampled_from(["GET /Patient/{id}", "feed show"]),
        status=st.sampled_from([0, 200, 304, 404, 403, 503]),
        code=st.sampled_from(["", "not-found"]),
        shown=st.sampled_from([(), ("Patient/pat-1", "DiagnosticReport/rep-1")]),
        patients=st.sampled_from([(), ("pat-1",)]),
        parameters=st.sampled_from([(), (("name:exact", DIGEST),)]),
        why=st.sampled_from(["", "a reason"]),
    )
)
def test_every_entry_is_a_valid_resource(entry):
    is_valid(audit_event(entry, event_id("2026-11-28.host-1", 7, entry.at), OWN))


def test_a_read_says_who_saw_which_resource_of_which_patient():
    event = audit_event(READ, "aud-1", OWN)
    assert (event["action"], event["outcome"], event["recorded"]) == ("R", "0", "1970-01-01T00:00:01.000001Z")
    assert (event["type"]["code"], event["subtype"][0]["code"]) == ("rest", "read")
    client, _, user = event["agent"]
    assert (client["who"]["identifier"]["value"], client["network"]) == (
        "client-1",
        {"address": "10.0.0.1", "type": "2"},
    )
    assert [one["type"]["coding"][0]["code"] for one in event["agent"]] == ["110152", "110153", "IRCP"]
    assert [one["requestor"] for one in event["agent"]] == [False, False, True]
    assert user["who"]["identifier"]["value"] == "u1"
    assert [one["what"].get("reference") for one in event["entity"] if "what" in one] == [
        "Patient/pat-1",
        "DiagnosticReport/rep-1",
        None,
    ]
    assert [one["role"]["code"] for one in event["entity"] if "role" in one] == ["1", "4", "24"]
    assert event["entity"][-1]["what"]["identifier"]["value"] == "r1"
    assert event["purposeOfEvent"] == [{"text": "why"}]


def test_a_query_has_names_and_digests_and_the_client_as_its_source():
    event = audit_event(
        AuditEntry(1, "search", client="c", parameters=(("name", DIGEST), ("_count", DIGEST))), "aud-1", OWN
    )
    assert [one["type"]["coding"][0]["code"] for one in event["agent"]] == ["110153", "110152"]
    [query] = [one["query"] for one in event["entity"] if "query" in one]
    assert base64.b64decode(query).decode() == f"name={DIGEST}&_count={DIGEST}"
    assert (event["action"], event["subtype"][0]["code"]) == ("E", "search")


def test_an_act_names_the_operator_and_the_command():
    event = audit_event(AuditEntry(1, "act", user="jane", host="gw1", route="feed show", why="complaint"), "aud-1", OWN)
    assert event["subtype"] == [{"system": "https://own.example/CodeSystem/command", "code": "feed-show"}]
    assert event["agent"] == [{"who": {"display": "jane@gw1"}, "requestor": True}]
    assert event["source"]["observer"] == {"display": "gw1"}


@pytest.mark.parametrize(("status", "outcome"), [(0, "0"), (200, "0"), (304, "0"), (403, "4"), (404, "4"), (503, "8")])
def test_the_outcome_is_that_of_the_status(status, outcome):
    assert outcome_of(status) == outcome


def test_an_id_leads_back_to_its_instant_and_is_another_for_each_place():
    ids = {event_id(segment, number, 5) for segment in ("2026-11-28.a", "2026-11-28.b") for number in range(50)}
    assert len(ids) == 100
    assert {instant_of(one) for one in ids} == {5}
    assert max(map(len, ids)) <= 64
    assert instant_of("aud-x") is None
