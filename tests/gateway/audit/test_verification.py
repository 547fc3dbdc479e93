"""A change of a sealed segment is found, whatever it is; what is not sealed is said to be not protected."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes.scale import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import verification
from gateway.audit.audit_entry import AuditEntry, printed
from gateway.audit.segment import SegmentHead, SegmentOpening, hex_of, line_of
from gateway.audit.verification import chain_faults, verify_segment

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
PUBLIC = hex_of(KEY.public_key())
KEYS = {PUBLIC}


def entry(at):
    return printed(AuditEntry(at, "read", client="c1", shown=(f"Patient/p{at}",), shown_count=1))


def written(name="2026-11-28.host-1", previous=None, key=KEY, named=PUBLIC):
    """Return the lines of a segment with a checkpoint, a tear and a final seal, and its head."""
    head = SegmentHead(name)
    lines = [head.opening(name[:10], "host-1", named, previous), head.entry(entry(1)), head.entry(entry(2))]
    lines += [head.seal(key, 9, is_final=False), head.entry(entry(3)), b'{"v":1,"se\n', head.tear(b'{"v":1,"se\n')]
    lines.append(head.seal(key, 10, is_final=True))
    return lines, head


LINES, HEAD = written()
WHOLE = b"".join(LINES)
LAST = HEAD.sequence


def faults(rows, least=LAST):
    return [one.code for one in verify_segment(rows, KEYS, "2026-11-28.host-1", least).faults]


def test_an_untouched_segment_has_no_fault_and_nothing_unsealed():
    finding = verify_segment(LINES, KEYS, "2026-11-28.host-1", LAST)
    assert (finding.faults, finding.unsealed, finding.tears) == ([], 0, 1)
    assert (finding.head.entries, finding.head.sequence) == (3, LAST)
    assert finding.head.digest == HEAD.digest


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
@settings(max_examples=examples(2_000))
def test_a_change_of_any_single_byte_is_found(at, by):
    changed = WHOLE[:at] + bytes([WHOLE[at] ^ by]) + WHOLE[at + 1 :]
    assert faults(changed.splitlines(keepends=True))


def test_a_signature_in_capital_letters_is_found():
    *before, last = LINES
    start = last.index(b'"signature":"') + len(b'"signature":"')
    assert faults([*before, last[:start] + last[start:-4].upper() + last[-4:]]) == [verification.UNSIGNED]


@pytest.mark.full
def test_removal_of_any_single_byte_is_found():
    removed = [(WHOLE[:at] + WHOLE[at + 1 :]).splitlines(keepends=True) for at in range(len(WHOLE))]
    assert [at for at, rows in enumerate(removed) if not faults(rows)] == []


@pytest.mark.parametrize("at", range(len(LINES)))
def test_a_removed_line_a_repeated_line_and_an_inserted_line_are_found(at):
    assert faults(LINES[:at] + LINES[at + 1 :])
    assert faults([*LINES[: at + 1], *LINES[at:]])
    assert faults([*LINES[:at], SegmentHead("", at - 1).entry(entry(7)), *LINES[at:]])


@given(st.permutations(LINES))
def test_another_order_of_the_lines_is_found(lines):
    assert lines == LINES or faults(lines)


def test_who_writes_the_chain_anew_without_the_key_is_found():
    forged, _ = written(key=OTHER_KEY)
    assert set(faults(forged)) == {verification.UNSIGNED}
    forged, _ = written(key=OTHER_KEY, named=hex_of(OTHER_KEY.public_key()))
    assert set(faults(forged)) == {verification.UNSIGNED, verification.OTHER_KEY}


def test_a_seal_that_counts_other_entries_than_there_are_is_found():
    head = SegmentHead("2026-11-28.host-1")
    lines = [head.opening("2026-11-28", "host-1", PUBLIC, None), head.entry(entry(1))]
    head.entries = 2
    assert faults([*lines, head.seal(KEY, 9, is_final=True)], least=-1) == [verification.UNSIGNED]


def test_a_segment_under_another_name_is_found():
    assert verification.BROKEN in [one.code for one in verify_segment(LINES, KEYS, "2026-11-27.host-1").faults]


def test_lines_behind_the_final_seal_are_found():
    _, head = written()
    assert faults([*LINES, head.entry(entry(8))]) == [verification.BEHIND_THE_END]


def test_what_follows_the_last_seal_is_said_to_be_unsealed_and_its_truncation_is_found_by_the_database_alone():
    cut = LINES[:5]
    finding = verify_segment(cut, KEYS, "2026-11-28.host-1")
    assert (finding.faults, finding.unsealed) == ([], 1)
    assert faults(cut) == [verification.CUT_OFF]
    assert faults(cut[:4], least=-1) == []


def test_an_empty_file_has_no_opening():
    assert faults([], least=-1) == [verification.NO_OPENING]


def days():
    heads, found = [None], []
    for day in ("2026-11-26", "2026-11-27", "2026-11-28"):
        lines, head = written(f"{day}.host-1", heads[-1])
        heads.append(head)
        found.append(verify_segment(lines, KEYS, f"{day}.host-1"))
    return found


def test_segments_that_follow_each_other_have_no_fault():
    assert chain_faults(days(), {}) == []


def test_a_removed_segment_is_found_unless_a_tombstone_names_it_with_its_seal():
    first, second, third = days()
    codes = [(one.segment, one.code) for one in chain_faults([first, third], {})]
    assert codes == [("2026-11-28.host-1", verification.MISSING)]
    assert chain_faults([first, third], {"2026-11-27.host-1": second.head.digest}) == []
    assert [one.code for one in chain_faults([third], {"2026-11-27.host-1": "0" * 64})] == [verification.BROKEN]


def test_a_segment_cut_back_to_an_earlier_seal_is_found_when_a_later_one_follows():
    _, second, third = days()
    lines, _ = written("2026-11-26.host-1")
    found = chain_faults([verify_segment(lines[:4], KEYS, "2026-11-26.host-1"), second, third], {})
    assert {one.code for one in found} == {verification.BROKEN, verification.NOT_FINAL}


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[" * 9_000 + b"\n",
        LINES[0].replace(b'"2026-11-28"', b"[]"),
        LINES[0].replace(b'"v":1', b'"v":2'),
        LINES[0].replace(b'"seq":0', b'"seq":true'),
        LINES[1].replace(b'"at":1', b'"at": 1'),
        LINES[1].rstrip(b"\n"),
        LINES[-1].replace(b'"is_final":true', b'"is_final":1'),
    ],
)
def test_a_line_has_one_spelling(row):
    assert line_of(row) is None


def test_each_line_is_read_back():
    assert [type(line_of(row)).__name__ for row in LINES].count("NoneType") == 1
    opening = line_of(LINES[0]).content
    assert opening == SegmentOpening("2026-11-28.host-1", "2026-11-28", "host-1", PUBLIC, "")
