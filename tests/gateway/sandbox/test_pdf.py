"""PDFs: valid, with the report's text in them, and only on links that have not expired."""

import re
from datetime import timedelta

import httpx
import pytest

from gateway.runtime import clock
from gateway.sandbox import reports_api
from gateway.sandbox.links import Links
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.upstream import SandboxOptions, create_app


def objects_of(content):
    """Every object by its number, found through the cross-reference table."""
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", content)[1])
    header = re.match(rb"xref\n0 (\d+)\n0000000000 65535 f \n", content[start:])
    entries = content[start + header.end() :].splitlines(keepends=True)[: int(header[1]) - 1]
    assert all(len(entry) == 20 for entry in entries)
    found = {}
    for number, entry in enumerate(entries, start=1):
        body = content[int(entry[:10]) :]
        assert body.startswith(f"{number} 0 obj\n".encode())
        found[number] = body[: body.index(b"\nendobj\n")]
    return found


def shown_lines(content):
    """The text of each page, in the order of the page tree."""
    objects = objects_of(content)
    pages = [int(number) for number in re.findall(rb"(\d+) 0 R", re.search(rb"/Kids \[([^\]]*)\]", objects[2])[1])]
    lines = []
    for page in pages:
        stream = objects[int(re.search(rb"/Contents (\d+) 0 R", objects[page])[1])]
        length = int(re.search(rb"/Length (\d+)", stream)[1])
        body = stream[stream.index(b"stream\n") + 7 :][:length]
        assert stream.endswith(body + b"\nendstream")
        shown = re.findall(rb"^\((.*)\) Tj T\*$", body, re.MULTILINE)
        lines.append([re.sub(rb"\\(.)", rb"\1", line).decode("cp1252") for line in shown])
    return lines


def test_a_pdf_shows_title_and_text():
    [page] = shown_lines(reports_api.render("Title", "FINDINGS: Clear.\r\n\r\nIMPRESSION: Normal."))
    assert page == ["Title", "", "FINDINGS: Clear.", "", "IMPRESSION: Normal."]


def test_a_long_text_takes_several_pages_and_long_lines_are_wrapped():
    pages = shown_lines(
        reports_api.render("Title", "\n".join(f"line {number}" for number in range(150)) + "\n" + "word " * 60)
    )
    assert len(pages) == 3
    lines = [line for page in pages for line in page]
    assert lines[2:152] == [f"line {number}" for number in range(150)]
    assert max(map(len, lines)) <= reports_api.LINE_WIDTH
    assert " ".join(lines[152:]).split() == ["word"] * 60


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a (b) c\\d", "a (b) c\\d"),
        ("M\u00fcller 5 \u00b5g \u20ac", "M\u00fcller 5 \u00b5g \u20ac"),
        ("\u6e2c\u8a66", "??"),
        ("a\x00b\x1bc", "a b c"),
    ],
)
def test_odd_characters_do_not_break_a_pdf(text, shown):
    assert shown_lines(reports_api.render("T", text))[0][2] == shown


def test_an_empty_text_is_a_page_with_a_title():
    assert shown_lines(reports_api.render("T", "")) == [["T", ""]]


@pytest.fixture
def link():
    state = SandboxAccount(generate(1, 10))
    report = next(one.reports[0] for one in state.world.seeded if one.reports)
    app = create_app(state, SandboxOptions(link_seconds=3600))
    return app, report


async def fetched(app, path):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8801") as client:
        return await client.get(path)


async def test_a_link_needs_no_key_and_gives_the_same_pdf_each_time(link):
    app, report = link
    path = app.state.links.path(report["reportId"])
    first, second = await fetched(app, path), await fetched(app, path)
    assert first.status_code == 200 and first.headers["content-type"] == "application/pdf"
    assert first.content == second.content
    shown = [line for page in shown_lines(first.content) for line in page]
    assert report["reportPlainText"].split()[0] in " ".join(shown)


async def test_a_link_expires_after_an_hour(link, monkeypatch):
    app, report = link
    path = app.state.links.path(report["reportId"])
    issued = clock.now()
    monkeypatch.setattr(clock, "now", lambda: issued + timedelta(minutes=59))
    assert (await fetched(app, path)).status_code == 200
    monkeypatch.setattr(clock, "now", lambda: issued + timedelta(minutes=61))
    assert (await fetched(app, path)).status_code == 403


@pytest.mark.parametrize(
    "spoil", [lambda path: path[:-1] + "x", lambda path: path.partition("?")[0], lambda path: path + "\u00e9"]
)
async def test_a_link_that_was_changed_is_refused(link, spoil):
    app, report = link
    assert (await fetched(app, spoil(app.state.links.path(report["reportId"])))).status_code == 403


def test_a_link_is_good_for_its_own_report_only():
    links = Links(b"key")
    token = links.path("rep_a").partition("token=")[2]
    assert links.allows("rep_a", token)
    assert not links.allows("rep_b", token)
    assert not Links(b"other").allows("rep_a", token)


def test_brackets_and_backslashes_are_escaped():
    assert rb"(a \(b\) c\\d) Tj" in reports_api.render("T", "a (b) c\\d")
