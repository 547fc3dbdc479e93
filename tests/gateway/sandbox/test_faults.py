"""Each fault does what it says, strikes the requests its SPEC names, and the same ones under the same seed."""

import json
import time

import httpx
import pytest

from gateway.runtime.errors import ConfigError
from gateway.sandbox.fault_plan import Fault, FaultPlan, parse_faults
from gateway.sandbox.faults import BEHAVIOURS


def first_signed(running):
    return next(one for one in running.state.world.seeded if one.reports and one.reports[0]["status"] == "completed")


@pytest.mark.parametrize(
    ("spec", "status", "headers"),
    [
        ("429:retry-after=2", 429, {"retry-after": "2"}),
        ("429:retry-after=0.5", 429, {"retry-after": "0.5"}),
        ("429", 429, {"retry-after": "1"}),
        ("500", 500, {}),
        ("502", 502, {"content-type": "text/html; charset=utf-8"}),
        ("503", 503, {}),
    ],
)
def test_a_status_fault_answers_with_its_status(sandbox, spec, status, headers):
    with sandbox(faults=(spec,)).http() as http:
        answer = http.get("/studies")
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in headers} == headers


def test_a_timeout_says_nothing_and_does_nothing(sandbox):
    running = sandbox(faults=("timeout:seconds=30",))
    one = first_signed(running)
    with running.http() as http, pytest.raises(httpx.ReadTimeout):
        http.post(f"/reports/{one.reports[0]['reportId']}/addendum", timeout=0.2)
    assert running.state.studies[one.study["studyId"]]["studyReportStatus"] == "completed"


def test_a_lost_answer_was_carried_out_all_the_same(sandbox):
    running = sandbox(faults=("lost:method=POST:seconds=30",))
    one = first_signed(running)
    with running.http() as http:
        with pytest.raises(httpx.ReadTimeout):
            http.post(f"/reports/{one.reports[0]['reportId']}/addendum", timeout=0.3)
        assert http.get(f"/studies/{one.study['studyId']}").json()["studyReportStatus"] == "addendum_active"


def test_a_timeout_that_is_over_ends_in_a_504(sandbox):
    with sandbox(faults=("timeout:seconds=0.05",)).http() as http:
        assert http.get("/studies").status_code == 504


def test_a_cut_off_body_is_shorter_than_its_content_length(sandbox):
    with sandbox(faults=("cut-off",)).http() as http, http.stream("GET", "/studies") as answer:
        assert answer.status_code == 200
        got = b""
        with pytest.raises(httpx.RemoteProtocolError):
            for part in answer.iter_raw():
                got += part
    assert 0 < len(got) < int(answer.headers["content-length"])


def test_a_body_that_is_not_json_comes_with_200(sandbox):
    with sandbox(faults=("non-json:call=1", "broken-json:call=2")).http() as http:
        page, broken = http.get("/studies"), http.get("/studies")
    assert (page.status_code, broken.status_code) == (200, 200)
    assert broken.headers["content-type"] == "application/json"
    for answer in (page, broken):
        with pytest.raises(json.JSONDecodeError):
            answer.json()


def test_an_expired_pdf_link_is_refused_while_the_api_works(sandbox):
    running = sandbox(faults=("expired-pdf:call=1",))
    with running.http() as http:
        link = http.get("/reports/pdf", params={"reportId": first_signed(running).reports[0]["reportId"]}).json()[
            "presignedUrl"
        ]
        assert [http.get(link).status_code for _ in range(2)] == [403, 200]


def test_a_fault_strikes_the_call_it_names(sandbox):
    with sandbox(faults=("500:call=3,503:call=5-6",)).http() as http:
        assert [http.get("/users").status_code for _ in range(7)] == [200, 200, 500, 200, 503, 503, 200]


def test_a_fault_strikes_only_its_path_and_method(sandbox):
    with sandbox(faults=("500:path=/users", "503:method=post")).http() as http:
        assert http.get("/users").status_code == 500
        assert http.get("/studies").status_code == 200
        assert http.post("/studies/cancel", json={}).status_code == 503


def test_the_control_api_is_never_struck_and_can_change_the_faults(sandbox):
    running = sandbox(faults=("500:path=/",))
    assert running.control("GET", "")["faults"] == ["500"]
    assert running.control("PUT", "/faults", "429,timeout:rate=0")["faults"] == ["429", "timeout"]
    with running.http() as http:
        assert http.get("/studies").status_code == 429
        assert running.control("PUT", "/faults")["faults"] == []
        assert http.get("/studies").status_code == 200
    with httpx.Client() as client:
        assert client.put(f"{running.url}/sandbox/faults", content="nonsense").status_code == 422


def test_latency_delays_every_answer_of_the_api(sandbox):
    with sandbox(latency_ms=80).http() as http:
        began = time.monotonic()
        http.get("/users")
    assert time.monotonic() - began >= 0.08


def struck(seed, spec="500:rate=0.3"):
    plan = FaultPlan(parse_faults([spec]), seed)
    return [plan.strikes("GET", "/v1/x") is not None for _ in range(300)]


def test_a_rate_strikes_about_its_share_and_the_same_calls_under_the_same_seed():
    assert struck(1) == struck(1) != struck(2)
    assert 60 < sum(struck(1)) < 120
    assert not any(struck(1, "500:rate=0"))
    assert all(struck(1, "500:rate=1"))


def test_a_spec_holds_several_faults_with_their_options():
    assert parse_faults(["429:rate=0.1:retry-after=2, 500:call=3", "timeout:path=/reports"]) == (
        Fault("429", rate=0.1, options={"retry-after": 2.0}),
        Fault("500", first=3, last=3),
        Fault("timeout", path="/reports", options={"seconds": 120}),
    )
    assert parse_faults([""]) == ()


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("418", ["418: no such fault", "Known: 429, 500,"]),
        ("500:often", ["500:often", "`often` is not a key with a value", "500 has rate=, call=, path=, method="]),
        ("500:retry-after=2", ["`retry-after` is not a key"]),
        ("500:rate=", ["`rate` is not a key with a value"]),
        ("500:rate=often", ["rate is not a number", "rate=0.5"]),
        ("500:rate=2", ["rate is over 1", "0 to 1"]),
        ("500,503:call=0", ["503:call=0: call is not the number", "call=3-5"]),
        ("timeout:seconds=-1", ["seconds is not a number"]),
    ],
)
def test_a_spec_that_is_wrong_is_refused_with_its_part_and_the_remedy(spec, names):
    with pytest.raises(ConfigError) as refused:
        parse_faults([spec])
    for name in names:
        assert name in str(refused.value)


def test_every_behaviour_says_what_it_does():
    assert all(behaviour.doc for behaviour in BEHAVIOURS.values())
