"""https://hl7.org/fhir/R4/bundle.html: each entry of a batch becomes a GET of this server, or is refused."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fhir_api.batch_entries import BatchEntry, entries
from gateway.runtime.request_errors import BadRequest, NotSupported, RequestError, RequestTooLarge

BASE = "https://gateway.example/fhir"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
URLS = st.text(max_size=40) | st.lists(
    st.sampled_from(["..", "/", "//", BASE, "Patient", "?", "#", "%2f", "%2e", ":", "@", "&", "é", "\\", "[", "\t"]),
    max_size=8,
).map("".join)
REQUESTS = st.fixed_dictionaries(
    {"method": st.sampled_from(["GET", "POST"]), "url": URLS},
    optional={"ifNoneMatch": st.text(max_size=8), "ifModifiedSince": st.text(max_size=8)},
)


def one(url, **more):
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": url, **more}}]}
    [found] = entries(bundle, BASE)
    return found


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("Patient/pat-1", BatchEntry("/Patient/pat-1", b"/Patient/pat-1", b"")),
        (f"{BASE}/Patient?name=a%20b#x", BatchEntry("/Patient", b"/Patient", b"name=a%20b")),
        ("Binary/a%2Fb", BatchEntry("/Binary/a/b", b"/Binary/a%2Fb", b"")),
        ("", BatchEntry("/", b"/", b"")),
        ("./Patient/../metadata", BatchEntry("/metadata", b"/metadata", b"")),
    ],
)
def test_an_address_is_relative_to_the_base_or_below_it(url, expected):
    assert one(url) == expected


def test_conditions_become_headers():
    found = one("Patient/pat-1", ifNoneMatch='W/"1"', ifModifiedSince="x")
    assert found.headers == ((b"if-none-match", b'W/"1"'), (b"if-modified-since", b"x"))


@given(st.lists(REQUESTS, max_size=5))
def test_every_entry_is_below_the_base_or_refused(requests):
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": request} for request in requests]}
    found = entries(bundle, BASE)
    assert len(found) == len(requests)
    for request, entry in zip(requests, found, strict=True):
        if isinstance(entry, BatchEntry):
            assert request["method"] == "GET"
            assert entry.path.startswith("/")
            assert entry.path == unquote(entry.raw_path.decode())
        else:
            assert isinstance(entry, RequestError)


@given(JSON | st.fixed_dictionaries({"resourceType": st.just("Bundle"), "type": st.just("batch"), "entry": JSON}))
def test_whatever_comes_is_read_or_refused(bundle):
    try:
        assert isinstance(entries(bundle, BASE), list)
    except (BadRequest, NotSupported, RequestTooLarge) as error:
        assert error.expression.startswith("Bundle")
