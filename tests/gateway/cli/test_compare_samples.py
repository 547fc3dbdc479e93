"""`receivers compare`: what differs from messages of another sender, and the switch that closes it, measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.commanded import Open, sites

from gateway.cli.compare_samples import Comparison, OurMessages, _with, compare, samples_of
from gateway.runtime.errors import ConfigError
from mappings.hl7v2.received import read
from mappings.profile import Receiver, Site, parse_receiver, receiver, switches

OURS = OurMessages(Site())
GENERIC = receiver("generic")
# Values that no message shows, since they say when one is sent or ask for what AutoScribe must bring; or shows only in
# part: without escape sequences, a report may have had no delimiter
UNSEEN = {
    ("escape", "no_F"),
    ("escape", "strip"),
    ("dtm", "offset"),
    ("vista_patient", "dfn"),
    ("vista_patient", "ssn"),
    ("vista_exam", "required"),
    ("interpreter", "local_id"),
    ("modality_table", "dicom"),
    ("placer_required", "on"),
    ("accession", "required"),
    ("accessions", "messages"),
    ("accessions", "first"),
    ("obr4", "order"),
    ("blank_line", "omit"),
    ("uid_type", "HD"),
    ("critical", "none"),
    ("critical", "obx15_rid"),
    ("addendum_obx3", "addendum"),
    ("pdf", "rp"),
    ("tls", "required"),
    ("viewer", "rp"),
    ("zsegments", "off"),
}
VALUES = [
    (name, value)
    for name, switch in switches().items()
    for value in switch.metadata.get("values", ())[1:]
    if (name, value) not in UNSEEN
]
# Made up: plain TX lines of v2.3, as an older sender has them
PLAIN = (
    "MSH|^~\\&|PSONE|RAD|EHR|CITY|20260105163014||ORU^R01|1|T|2.3\r"
    "PID|1||CANARY1||CANARY2^CANARY3||19500102|F|||CANARY4\r"
    "OBR|1|P1|F1|71260^CT CHEST^L|||20260105142000|||||||||CANARY5||A1||||20260105152000||CT|F\r"
    "OBX|1|TX|GDT^REPORT||CANARY6 " + "x" * 60 + "||||||F\r"
    "OBX|2|TX|GDT^REPORT||||||||F\r"
    "OBX|3|TX|GDT^REPORT||CANARY7||||||F\r"
    "ZCANARY|8\r"
).encode()


def test_an_own_message_differs_in_nothing_from_its_own_profile() -> None:
    found = compare(OURS.messages(GENERIC), GENERIC, OURS)
    assert (found.exit_code, found.closed, found.unclosed, found.contradictory) == (0, (), (), ())


@pytest.mark.parametrize(
    ("name", "value"),
    [("text", "ft"), ("msh9_3", "off"), ("uid", "obx113014"), ("nte", "disclaimer"), ("version", "2.3.1")],
)
def test_the_switches_that_are_proposed_set_make_the_differences_go_away(name: str, value: str) -> None:
    closes(name, value)


@pytest.mark.full
@pytest.mark.parametrize(("name", "value"), VALUES)
def test_each_switch_that_a_message_shows_is_found_and_closes_what_differs(name: str, value: str) -> None:
    closes(name, value)


def closes(name: str, value: str) -> None:
    """Messages by a profile with the value differ from the generic ones; with what is proposed, in nothing."""
    theirs = _with(GENERIC, name, value)
    assert theirs is not None
    messages = OURS.messages(theirs)
    found = compare(messages, GENERIC, OURS)
    assert found.closed
    assert (found.unclosed, found.contradictory) == ((), ())
    again = compare(messages, as_proposed(found), OURS)
    assert (again.exit_code, again.closed) == (0, ())


def as_proposed(found: Comparison) -> Receiver:
    """Return the profile that a site pastes."""
    lines = list(found.lines())
    pasted = lines[lines.index("[[mapping.receivers]]") + 1 :]
    return parse_receiver("\n".join(pasted).replace("…", "pasted").replace("\n# ", "\n"))


@pytest.mark.full
def test_two_switches_at_once_are_found_one_after_the_other() -> None:
    theirs = replace(GENERIC, msh9_3="off", pid3_plain="on", text="ft", uid="none", receiving_application="EPIC")
    found = compare(OURS.messages(theirs), GENERIC, OURS)
    switched = {key: value for one in found.closed for key, value in one.switches}
    assert switched == {
        "msh9_3": '"off"',
        "pid3_plain": '"on"',
        "text": '"ft"',
        "uid": '"none"',
        "receiving_application": '"EPIC"',
    }
    assert compare(OURS.messages(theirs), as_proposed(found), OURS).exit_code == 0


def test_what_samples_contradict_is_shown_with_numbers_and_no_switch_is_proposed_for_it() -> None:
    with_it, without = OURS.messages(GENERIC)[:3], OURS.messages(replace(GENERIC, msh9_3="off"))[:1]
    found = compare([*with_it, *without], GENERIC, OURS)
    assert found.closed == ()
    assert [str(one) for one in found.contradictory] == ["MSH-9.3: theirs empty in 1, valued in 3; ours valued"]
    assert "contradictory, so decide with the receiver:" in list(found.lines())


def test_samples_of_another_sender_are_read_and_nothing_of_them_is_printed() -> None:
    found = compare([read(PLAIN)], GENERIC, OURS)
    switched = {key: value for one in found.closed for key, value in one.switches}
    expected = {"version": '"2.3"', "pid3_plain": '"on"', "uid": '"none"', "receiving_application": '"EHR"'}
    assert switched.items() >= expected.items()
    assert "PID-11" in {one.place for one in found.unclosed}
    said = "\n".join((*found.lines(), *found.json_lines()))
    assert "CANARY" not in said
    assert "GDT" not in said


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Open]:
    with sites(tmp_path, capsys) as opened:
        yield opened


async def test_files_with_several_messages_and_frames_are_read_whole(site, tmp_path):
    file = tmp_path / "samples.hl7"
    framed = b"\x0b" + PLAIN + b"\x1c\r"
    file.write_bytes(framed + framed + PLAIN.replace(b"\r", b"\n") + b"\nMSH|^~\\&|A|B|C|D|1||ADT^A08|2|T|2.3\n")
    assert len(samples_of([file])) == 3
    async with site() as here:
        code, out, _ = await here.run("receivers", "compare", str(file), "--json")
        assert (code, json.loads(out)["samples"]) == (1, 3)
        assert not here.database.exists()


def test_a_file_without_a_result_is_refused_without_a_word_of_it(tmp_path):
    for text in (b"", b"CANARY", b"MSH|^~\\&|CANARY|B|C|D|1||ADT^A08|2|T|2.3\r", b"MSH|||CANARY\r"):
        (tmp_path / "x.hl7").write_bytes(text)
        with pytest.raises(ConfigError) as refused:
            samples_of([tmp_path / "x.hl7"])
        assert "CANARY" not in str(refused.value)
        assert "SAMPLE 1" in str(refused.value)
