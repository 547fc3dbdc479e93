"""https://www.w3.org/TR/CSP3/: the page runs nothing and asks nobody else for anything."""

import base64
import hashlib
import re
from html import unescape

from gateway.fhir_api.openapi.routes import page

ROOT = "http://127.0.0.1:8800"


async def test_it_shows_every_request_and_every_address_that_can_be_tried(stage, document):
    response = await stage.client.get(f"{ROOT}/docs")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = unescape(response.text)
    for path, item in document["paths"].items():
        for method, one in item.items():
            assert f"<code>{method.upper()} {path}</code>" in text
            assert one["summary"] in text
            for address in one.get("x-examples", ()):
                assert f'<a href="{address}">' in text


async def test_it_has_no_script_and_nothing_from_elsewhere(stage, report):
    response = await stage.client.get(f"{ROOT}/docs")
    assert re.findall(r"<(?:script|link|img|iframe|object|embed|form|base|meta http)", response.text) == []
    assert re.findall(r"\son\w+=|javascript:|url\(|@import", response.text) == []
    assert {address[0] for address in re.findall(r'(?:href|src)="([^"]*)"', response.text)} == {"/"}


async def test_its_style_is_allowed_by_its_hash_and_nothing_else_is(stage, report):
    response = await stage.client.get(f"{ROOT}/docs")
    [style] = re.findall(r"<style>(.*?)</style>", response.text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = response.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "style=" not in response.text


def test_what_stands_in_the_document_is_shown_and_never_carried_out():
    bad = "<script>\"&'"
    one = {
        "tags": [bad],
        "summary": bad,
        "x-examples": [bad],
        "parameters": [{"name": bad, "in": "query", "description": bad, "example": bad}, {"name": "id", "in": "path"}],
    }
    text = page({"info": {"title": bad, "version": bad, "description": bad}, "paths": {bad: {"get": one}}})
    assert "<script" not in text
    assert text.count("&lt;script&gt;&quot;&amp;&#x27;") == 13
