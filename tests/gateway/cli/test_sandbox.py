"""`sandbox sign|addend|correct|cancel|uncancel`: a running sandbox does what people do in AutoScribe."""

from __future__ import annotations

import re

import pytest

from gateway.cli.main import main
from gateway.runtime.serving import listening_socket

REPORT, STUDY = "rep_[0-9a-f]{32}", "stu_[0-9a-f]{32}"


@pytest.fixture
def typed(sandbox, capsys):
    """Runs `sandbox …` against a sandbox; its exit code and what it printed. With it comes the account."""
    running = sandbox(studies=2)

    def run(*arguments: str, port: int | None = None) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["sandbox", *arguments, "--port", str(running.options.port if port is None else port)])
        out, err = capsys.readouterr()
        return left.value.code, out, err

    return run, running.state


def signed(run, *options: str) -> tuple[str, str]:
    code, out, _ = run("sign", *options)
    found = re.fullmatch(rf"signed: ({REPORT}) of ({STUDY})\n", out)
    assert (code, bool(found)) == (0, True)
    return found[1], found[2]


@pytest.mark.parametrize("critical", [True, False])
def test_a_report_of_a_new_study_is_signed(typed, critical):
    run, account = typed
    report_id, study_id = signed(run, *["--critical"] * critical)
    report = account.find_report(report_id)
    assert (report["studyId"], report["status"]) == (study_id, "completed")
    assert report["isCritical"] is True or not critical


def test_a_signed_study_is_cancelled_and_that_is_undone(typed):
    run, account = typed
    report_id, study_id = signed(run)
    assert run("cancel", study_id)[:2] == (0, f"cancelled: {study_id}\n")
    study = account.find_study(study_id)
    assert (study["isCancelled"], study["studyReportStatus"]) == (True, "completed")
    assert study["cancelledAt"]
    assert account.find_report(report_id)["status"] == "completed"
    assert run("uncancel", study_id)[:2] == (0, f"no longer cancelled: {study_id}\n")
    study = account.find_study(study_id)
    assert (study["isCancelled"], study["cancelledAt"]) == (False, None)


@pytest.mark.parametrize("text", ["", "ADDENDUM: The nodule is benign."])
def test_an_addendum_is_signed_with_its_text_or_one_of_the_sandboxs_own(typed, text):
    run, account = typed
    report_id, study_id = signed(run)
    code, out, _ = run("addend", report_id, *["--text", text][: 2 * bool(text)])
    found = re.fullmatch(rf"addendum signed: ({REPORT}) of {study_id}\n", out)
    assert (code, bool(found)) == (0, True)
    addendum = account.find_report(found[1])
    assert (addendum["isAddendum"], addendum["status"]) == (True, "completed")
    assert addendum["reportPlainText"] == text or (not text and addendum["reportPlainText"])


def test_a_text_is_corrected_without_an_addendum(typed):
    run, account = typed
    report_id, study_id = signed(run)
    assert run("correct", report_id, "FINDINGS: No nodule.")[:2] == (0, f"corrected: {report_id}\n")
    [report] = account.reports_of(account.find_study(study_id))
    assert report["reportPlainText"] == "FINDINGS: No nodule."


@pytest.mark.parametrize(
    "arguments", [("cancel", "stu_x"), ("uncancel", "../sign"), ("addend", "rep_x"), ("correct", "rep_x", "y")]
)
def test_an_id_that_is_not_there_is_refused_and_nothing_is_done(typed, arguments):
    run, account = typed
    before = account.version
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "it refused with status 404" in err
    assert account.version == before


def test_where_no_sandbox_runs_it_is_said_what_to_start(typed):
    run, _ = typed
    with listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    code, _, err = run("sign", port=port)
    assert code == 2
    assert f"127.0.0.1:{port}: no sandbox answers there. Start it with `autoscribe-gateway sandbox`" in err
