import contextlib
import errno
import io
import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from gateway.runtime import clock, log
from gateway.runtime.errors import UpstreamTimeout

CANARY = "CANARY Jane Doe"


def _fail(error):
    raise error


@pytest.fixture
def as_before():
    """Restore the logging configuration."""
    root = logging.getLogger()
    handlers, level, before = root.handlers, root.level, structlog.get_config()
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def lines(monkeypatch, as_before):
    """Configure logging, and return a function that reads the decoded lines."""
    stream = io.StringIO()
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 1, 12, 0, 0, 5000, tzinfo=UTC))
    log.configure("info", "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_action_of_several_words_reads_as_it_is_typed(as_before, form):
    stream = io.StringIO()
    log.configure("info", form, stream)
    log.get_logger().error("database-restored", action=("feed", "resume", "--restored"))
    log.get_logger().info("feed-held", action=("feed", CANARY))
    assert "feed resume --restored" in stream.getvalue()
    assert "(" not in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_an_event_with_ids_and_counts_is_written_as_one_json_object(lines):
    log.get_logger().info("study-read", study_id="stu_1", count=3, seconds=0.25, code=None, status=200)
    assert lines() == [
        {
            "event": "study-read",
            "level": "info",
            "timestamp": "2026-11-01T12:00:00.005+00:00",
            "study_id": "stu_1",
            "count": 3,
            "seconds": 0.25,
            "code": None,
            "status": 200,
        }
    ]


@pytest.mark.parametrize("value", [CANARY, [CANARY], {"a": CANARY}, ("ok", CANARY), CANARY.encode(), Exception(CANARY)])
@pytest.mark.parametrize("key", ["patient_name", "code", "report_id", "where", "destination"])
def test_no_text_gets_through_under_any_key_but_its_key_is_named(key, value, lines):
    log.get_logger().warning("study-read", **{key: value})
    (line,) = lines()
    assert "CANARY" not in json.dumps(line)
    assert line["dropped"] == [key]


def test_a_key_that_is_itself_a_text_is_not_named(lines):
    log.get_logger().info("study-read", **{CANARY: 1})
    assert lines()[0]["dropped"] == ["?"]


def test_a_link_with_its_token_is_no_token(lines):
    log.get_logger().info("pdf-read", route="https://storage.example/r.pdf?token=abc")
    assert lines()[0]["dropped"] == ["route"]


def test_an_event_is_a_fixed_name_never_a_sentence(lines):
    log.get_logger().error(f"no report for {CANARY}")
    log.get_logger().error("read %s", CANARY)
    assert [(line["event"], line["dropped"]) for line in lines()] == [("unnamed-event", ["event"])] * 2


def test_the_context_of_a_request_is_written_and_filtered_too(lines):
    structlog.contextvars.bind_contextvars(request_id="req-1", patient=CANARY)
    log.get_logger().info("study-read")
    assert (lines()[0]["request_id"], lines()[0]["dropped"]) == ("req-1", ["patient"])


def test_an_exception_is_its_type_our_code_and_its_place_never_its_text(lines):
    for error in (ValueError(CANARY), UpstreamTimeout("GET /reports", detail=CANARY)):
        try:
            _fail(error)
        except Exception:
            log.get_logger().exception("read-failed")
    log.get_logger().error("read-failed", exc_info=ValueError(CANARY))
    foreign, ours, given = lines()
    assert (foreign["error_type"], foreign["error_code"]) == ("ValueError", "internal")
    assert (ours["error_type"], ours["error_code"]) == ("UpstreamTimeout", "upstream-timeout")
    assert foreign["where"][0].startswith(f"{__name__}:")
    assert (given["error_type"], given["where"]) == ("ValueError", [])
    assert "CANARY" not in json.dumps(lines())


def test_what_a_library_logs_is_told_without_its_words(lines):
    logging.getLogger("some.library").info("reading %s", CANARY)
    logging.getLogger("some.library").debug("reading")
    try:
        _fail(ValueError(CANARY))
    except ValueError:
        logging.getLogger("some.library").critical("failed for %s", CANARY, exc_info=True)
    logging.getLogger("some.library").log(35, "a level of its own")
    told, failed, odd = lines()
    assert (told["event"], told["logger"], told["level"]) == ("foreign-log", "some.library", "info")
    assert told["where"].startswith("test_log:")
    assert (failed["level"], failed["error_type"]) == ("critical", "ValueError")
    assert odd["level"] == "error"
    assert "CANARY" not in json.dumps(lines())


def test_below_the_level_nothing_is_written(lines):
    log.get_logger().debug("study-read")
    assert lines() == []


def test_the_console_form_hides_the_same(lines, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log.configure("debug", "console")
    log.get_logger().debug("study-read", patient=CANARY, report_id="rep_1")
    assert "study-read" in stream.getvalue()
    assert "rep_1" in stream.getvalue()
    assert "CANARY" not in stream.getvalue()


class Full(io.StringIO):
    """Stream on a full disk, which fails at once or at the flush."""

    def __init__(self, fails_at):
        super().__init__()
        self.fails_at = fails_at

    def write(self, text):
        return self._done("write", len(text))

    def flush(self):
        self._done("flush", None)

    def _done(self, step, result):
        if step == self.fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return result


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def full_device():
    return Path("/dev/full").open("w")


def unread_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


@pytest.mark.parametrize("make", [lambda: Full("write"), lambda: Full("flush"), closed, full_device, unread_pipe])
def test_a_line_that_cannot_be_written_is_counted_and_stops_nobody(make, as_before):
    dropped = []
    log.configure("info", "json", stream := make(), dropped=lambda: dropped.append(1))
    log.get_logger().info("study-read")
    log.get_logger().critical("study-read")
    logging.getLogger("some.library").warning("reading")
    assert len(dropped) == 3
    with contextlib.suppress(OSError):  # it tries once more to write its buffer
        stream.close()


def test_once_there_is_room_again_lines_are_written_again(as_before):
    stream, dropped = Full("write"), []
    log.configure("info", "json", stream, dropped=lambda: dropped.append(1))
    log.get_logger().info("study-read")
    stream.write = lambda text: io.StringIO.write(stream, text)
    log.get_logger().info("study-read", count=2)
    assert ([json.loads(line)["count"] for line in stream.getvalue().splitlines()], len(dropped)) == ([2], 1)


def test_uvicorn_is_told_to_log_nothing_of_its_own():
    import uvicorn

    config = uvicorn.Config("gateway:none", **log.UVICORN)
    assert config.access_log is False
    assert config.log_config is None
