"""Mapping issues in words: a place and a cure, never a value."""

from mappings.issues import MappingIssue, SiteError, WireError


def test_an_issue_reads_as_severity_place_code_and_action():
    issue = MappingIssue("mrn-absent", "warning", "/reports/0/snapshotMetadata/mrn", "not linked")
    assert str(issue) == "warning: /reports/0/snapshotMetadata/mrn: mrn-absent: not linked"


def test_an_issue_of_the_whole_document_stands_at_the_root():
    assert str(MappingIssue("some-code", "error", "", "done")) == "error: /: some-code: done"


def test_a_wire_error_names_the_place_what_was_expected_and_the_kind_that_was_found():
    error = WireError("/reports/0/status", "a string", "a number")
    assert str(error) == "/reports/0/status: expected a string, found a number"
    assert (error.pointer, error.expected, error.found) == ("/reports/0/status", "a string", "a number")


def test_a_wire_error_without_a_finding_says_only_what_was_expected():
    assert str(WireError("", "an object")) == "/: expected an object"


def test_a_site_error_names_key_problem_and_remedy():
    error = SiteError("mapping.site_key", "too short", "Make one.")
    assert str(error) == "mapping.site_key: too short. Make one."
    assert (error.key, error.problem, error.remedy) == ("mapping.site_key", "too short", "Make one.")
