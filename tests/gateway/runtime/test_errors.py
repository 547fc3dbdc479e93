import re

import pytest

from gateway.runtime import errors, request_errors

# https://hl7.org/fhir/R4/valueset-issue-type.html
ISSUE_TYPES = {
    "invalid",
    "structure",
    "required",
    "value",
    "invariant",
    "security",
    "login",
    "unknown",
    "expired",
    "forbidden",
    "suppressed",
    "processing",
    "not-supported",
    "duplicate",
    "multiple-matches",
    "not-found",
    "deleted",
    "too-long",
    "code-invalid",
    "extension",
    "too-costly",
    "business-rule",
    "conflict",
    "transient",
    "lock-error",
    "no-store",
    "exception",
    "timeout",
    "incomplete",
    "throttled",
    "informational",
}


def _tree(kind):
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


ALL = list(_tree(errors.GatewayError))
LEAVES = [kind for kind in ALL if not kind.__subclasses__()]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    drawn = re.findall(r"^ {4}((?:│ {3}| {4})*)(?:[├└]── )?([A-Z]\w+)", errors.__doc__, re.MULTILINE)
    assert {name for _, name in drawn} == {kind.__name__ for kind in ALL}
    parents = {kind.__name__: kind.__base__.__name__ for kind in ALL[1:]}
    above = "GatewayError"
    for indent, name in drawn[1:]:
        above = above if indent else "GatewayError"
        assert parents[name] == above
        above = above if indent else name


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda kind: kind.__name__)
def test_a_leaf_says_what_a_client_an_operator_and_a_retry_need(leaf):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", leaf.code)
    assert "code" in vars(leaf)
    assert leaf.retry in {"transient", "ambiguous", "permanent"}
    assert 400 <= leaf.http_status <= 599
    assert leaf.issue_code in ISSUE_TYPES
    assert leaf.remedy.endswith((".", "…"))
    assert leaf.__doc__.rstrip().endswith(".")


def test_no_two_classes_share_a_code():
    codes = [kind.code for kind in ALL]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("leaf", errors.UpstreamError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_an_upstream_error_is_read_in_one_line(leaf):
    error = leaf("GET /studies/{}", status=503, request_id="req_42", retry_after=2.0, detail="somewhere")
    assert str(error) == f"GET /studies/{{}}: {leaf.code}, status 503, upstream request req_42, somewhere"
    assert (error.status, error.request_id, error.retry_after) == (503, "req_42", 2.0)
    assert str(leaf("GET /users")) == f"GET /users: {leaf.code}"


def test_the_upstreams_refusal_of_our_key_is_never_the_clients_fault():
    assert errors.UpstreamKeyRefused.http_status == 502


def test_a_config_error_names_source_key_problem_and_remedy():
    error = errors.ConfigError("gateway.toml", "server.port", "not a number", "Write a number.")
    assert str(error) == "gateway.toml: server.port: not a number. Write a number."


def test_a_feed_error_says_where_and_a_request_error_what():
    assert str(errors.AckTimeout("EPIC", "after 30 s")) == "EPIC: ack-timeout, after 30 s"
    assert str(errors.ConnectFailed("EPIC")) == "EPIC: connect-failed"
    assert request_errors.BadRequest("no", expression="DiagnosticReport.study").expression == "DiagnosticReport.study"
