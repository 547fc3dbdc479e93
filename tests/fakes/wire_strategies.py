"""Hypothesis strategies for AutoScribe's JSON: everything that the wire tables allow, with the nastiest values.

Built from `mappings.study.wire` itself, so that a new field of the contract is tried automatically.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappings.study import wire
from mappings.study.wire import Kind, Shape

NASTY_TEXTS = (
    *("", " ", "\t", "\r\n", "\x00", "\x0b\x1c\x0d", "\ufeff", "\ufffe", "\ud800", "a\udfffb", "\u2028", "\u00a0"),
    *("|^~\\&", "MSH|^~\\&|", "\\.br\\", "<script>alert(1)</script>", "]]>&amp;<b>", "'\"", "{}", "null"),
    *("O'Neil", "M\u00fcller-L\u00fcdenscheidt", "\u5c71\u7530^\u592a\u90ce", "\u0645\u0631\u064a\u0645", "\U0001f9e0"),
    *("DOE^JANE^M^^DR", "Doe, Jane", "Jane Doe", "Mary Jane van der Berg Jr.", "^", ",", "Dr.", "J"),
    *("UNKNOWN", "0000", "N/A", "00012345", "12 345"),
)
REPORT_TEXTS = (
    *("FINDINGS: Normal.\nIMPRESSION: Normal.", "FINDINGS: a IMPRESSION: b", "IMPRESSION:", "IMPRESSION:\r\n\r\n\x00"),
    *("Addendum\r\nEXAM: x\rFINDINGS:\n\x0c1. |^~\\&\n\nIMPRESSION:\n<b>&", "no heading at all", "\r\r\r", "x" * 5000),
)
DATES = ("2024-03-15", "2024-02-30", "7321-69-10", "2024-03", "2024", "0001-01-01", "9999-12-31", "15.03.2024", "")
TIMES = ("14:30", "02:30", "24:00", "14:30:15", "14:30:15.123", "2 pm", "")
INSTANTS = (
    *("2024-03-15T16:00:00Z", "2024-03-15T16:00:00.123Z", "2024-03-15T16:00:00+05:30", "2024-03-15T16:00:00-0500"),
    *("2024-03-15T16:00:00", "2024-03-15", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "never", ""),
    *("2024-03-15T16:00:00+23:59", "2024-03-15T16:00:00-23:59", "0001-01-01T00:00:00+14:00"),
)
UIDS = ("1.2.840.113619.2.55.3.604688119.868.1234567890.123", "1.02.3", "not a uid", "9.1", "1." + "2" * 80, "\ud800")
NPIS = ("1234567893", "1234567890", "12345", "\u0661234567893", "")

texts = st.one_of(st.sampled_from(NASTY_TEXTS), st.text(max_size=30))
report_texts = st.one_of(st.sampled_from(REPORT_TEXTS), texts)
# Key -> typical values, tried beside any other text
_BY_KEY = {
    "dateOfBirth": st.one_of(st.sampled_from(DATES), texts),
    "studyDate": st.one_of(st.sampled_from(DATES), texts),
    "studyTime": st.one_of(st.sampled_from(TIMES), texts),
    "createdAt": st.one_of(st.sampled_from(INSTANTS), texts),
    "signedAt": st.one_of(st.sampled_from(INSTANTS), texts),
    "updatedAt": st.one_of(st.sampled_from(INSTANTS), texts),
    "reportPlainText": report_texts,
    "facilityName": st.one_of(st.sampled_from(("Mercy", "City Medical Center")), texts),
    "mrn": st.one_of(st.sampled_from(("MRN-1", "MRN-2")), texts),
    "modality": st.one_of(st.sampled_from(("MRI", "ct", "XR", "PET", "Fluoro", "CT\\PT", "PET/CT", "US + SR")), texts),
    "npiNumber": st.one_of(st.sampled_from(NPIS), texts),
    "studyInstanceUid": st.one_of(st.sampled_from(UIDS), st.text(min_size=1, max_size=70)),
}
_NUMBERS = st.one_of(
    st.sampled_from((0, 1, 165, 62.5, 1e-9, 1e300, 70, 180)), st.floats(0, 300), st.integers(0, 10**30)
)


def objects(shape: Shape, **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw objects of a wire shape; `fixed` gives keys a strategy of their own."""
    known = {**_BY_KEY, **fixed}
    required, optional = {}, {}
    for key, (kind, presence) in shape.items():
        values = known[key] if key in known else _values(kind)
        keys = required if presence == "R" else optional
        keys[key] = values if presence == "R" else st.one_of(values, st.none())
    return st.fixed_dictionaries(required, optional=optional)


def _values(kind: Kind) -> st.SearchStrategy[Any]:
    if kind.shape is not None:
        return objects(kind.shape)
    if kind.items is not None:
        return st.lists(_values(kind.items), max_size=3)
    if kind.values is not None:
        return st.dictionaries(texts, _values(kind.values), max_size=2)
    if kind.codes:
        return st.one_of(st.sampled_from(sorted(kind.codes)), st.sampled_from(("draft", "")))
    return _scalars(kind)


def _scalars(kind: Kind) -> st.SearchStrategy[Any]:
    if kind in (wire.STUDY_ID, wire.REPORT_ID, wire.USER_ID):
        prefix = {wire.STUDY_ID: "stu", wire.REPORT_ID: "rep", wire.USER_ID: "usr"}[kind]
        return st.integers(0, 2**128 - 1).map(lambda number: f"{prefix}_{number:032x}")
    if kind is wire.BOOLEAN:
        return st.booleans()
    if kind is wire.NUMBER:
        return _NUMBERS
    return texts.filter(bool) if kind is wire.NON_EMPTY else texts


@st.composite
def studies(draw: st.DrawFn) -> tuple[dict[str, Any] | None, dict[str, Any], list[dict[str, Any]]]:
    """Draw `(study, reports, users)` for `decode`: one study, up to four reports, some signers known."""
    study_id = draw(_values(wire.STUDY_ID))
    uid = draw(_BY_KEY["studyInstanceUid"])
    user_ids = draw(st.lists(_values(wire.USER_ID), min_size=1, max_size=2, unique=True))
    reports = draw(
        st.lists(
            objects(wire.REPORT, studyId=st.just(study_id), userId=st.sampled_from(user_ids)),
            max_size=4,
            unique_by=lambda report: report["reportId"],
        )
    )
    listed = {"studyId": study_id, "studyInstanceUid": uid, "reports": reports}
    study = draw(
        st.one_of(
            st.none(),
            objects(wire.STUDY, studyId=st.just(study_id), studyInstanceUid=st.just(uid), reportIds=st.just([])),
        )
    )
    users = [draw(objects(wire.USER, userId=st.just(user_id))) for user_id in user_ids if draw(st.booleans())]
    return study, listed, users
