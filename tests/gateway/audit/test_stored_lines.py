"""Lines of version 1 that are on a disk stay readable, and are written the same today.

`parsed` takes only the spelling that `printed` gives. So a slip in the layout makes every stored segment unreadable,
and a test that prints and reads with the same code does not see it. The lines here are texts, and each field of the
entry has another value.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.audit_entry import AuditEntry, printed
from gateway.audit.retention import SegmentTombstone, add_tombstone, tombstones
from gateway.audit.segment import SegmentHead, SegmentOpening, SegmentSeal, SegmentTear, hex_of, line_of
from gateway.audit.verification import verify_segment

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
NAME = "2026-11-28.host-1"
DIGEST = "8160c6d16fd5f3a92ae17599dcf2b02253e7038a82530814dde474d1677f2ed9"
SEAL_SIGNATURE = (
    "554f457f6007f8d101dad3ead4d17afafdf360fb4190fd4ac480920eaf59241e"
    "dcb90b6754e179e9b5d751f6fbe9d6cb3502978a0fcad597749c3cbd750d280f"
)
OPENING_LINE = (
    b'{"v":1,"seq":0,"prev":"abababababababababababababababababababababababababababababababab","open":'
    b'{"segment":"2026-11-28.host-1","day":"2026-11-28","journal":"host-1"'
    b',"key":"8320a51977d8c38ca8a4927c670df5821e449761945e15e9efb26a1509d230ea","previous":"2026-11-27.host-1"}}\n'
)
ENTRY_LINE = (
    b'{"v":1,"seq":1,"prev":"1f969798d7524be7ab34c6b9bdc95059d73edc7ca2dd5fe336b9e87d38abbe39","entry":'
    b'{"at":1795867200000001,"kind":"search","client":"client-1","user":"user-1","host":"host-1"'
    b',"address":"10.0.0.1","request":"0011223344556677","route":"GET /DiagnosticReport","status":200'
    b',"code":"not-found","shown":["DiagnosticReport/rep-1","Patient/pat-1"],"shown_count":3'
    b',"patients":["pat-1","pat-2"],"patient_count":4,"parameters":'
    b'[["_id","cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"]'
    b',["(unknown)","efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef"]]'
    b',"why":"\\"\\u00e9\\" \\ud83d\\ude00\\n","part":5,"is_cut":true}}\n'
)
TORN = b"torn\n"
TEAR_LINE = (
    b'{"v":1,"seq":2,"prev":"d4865937cd41e40c3c0c79096267602a443813971c538de4be3c4b075371a289","torn":'
    b'{"size":5,"digest":"8160c6d16fd5f3a92ae17599dcf2b02253e7038a82530814dde474d1677f2ed9"}}\n'
)
SEAL_LINE = (
    b'{"v":1,"seq":3,"prev":"8084087e65d4348c33d14e880312898ee14d334da67f225c7c017483723b41b6","seal":'
    b'{"segment":"2026-11-28.host-1","at":1795867260000000,"entries":1,"is_final":false,"signature":"'
    b"554f457f6007f8d101dad3ead4d17afafdf360fb4190fd4ac480920eaf59241e"
    b'dcb90b6754e179e9b5d751f6fbe9d6cb3502978a0fcad597749c3cbd750d280f"}}\n'
)
TOMBSTONE_LINE = (
    b'{"segment": "2026-11-28.host-1", "digest": "bcd3d244f6b2514bd5dd510bbf2967131df836bb0fc8d471c44084345b93b240"'
    b', "entries": 1, "at": 1795953600000000'
    b', "key": "8320a51977d8c38ca8a4927c670df5821e449761945e15e9efb26a1509d230ea", "signature": "'
    b"d28280b53d0cab256599212ee54fc42ec41a00bc4ef5d09a33a3205c077f1394"
    b'76aa53571db644d503e76c202e9c61afa88b26b0c0629f2f878c25d8f9f05a08"}\n'
)
BEFORE = SegmentHead("2026-11-27.host-1", digest="ab" * 32)
OPENING = SegmentOpening(NAME, "2026-11-28", "host-1", hex_of(KEY.public_key()), BEFORE.segment)
ENTRY = AuditEntry(
    at=1_795_867_200_000_001,
    kind="search",
    client="client-1",
    user="user-1",
    host="host-1",
    address="10.0.0.1",
    request="0011223344556677",
    route="GET /DiagnosticReport",
    status=200,
    code="not-found",
    shown=("DiagnosticReport/rep-1", "Patient/pat-1"),
    shown_count=3,
    patients=("pat-1", "pat-2"),
    patient_count=4,
    parameters=(("_id", "cd" * 32), ("(unknown)", "ef" * 32)),
    why='"\u00e9" \U0001f600\n',
    part=5,
    is_cut=True,
)
SEAL = SegmentSeal(NAME, 1_795_867_260_000_000, 1, is_final=False, signature=SEAL_SIGNATURE)


def test_each_kind_of_line_is_read_as_what_it_said_when_it_was_written():
    rows = (OPENING_LINE, ENTRY_LINE, TEAR_LINE, SEAL_LINE)
    assert [line_of(row).content for row in rows] == [OPENING, ENTRY, SegmentTear(5, DIGEST), SEAL]


def test_a_stored_segment_is_verified_with_its_seal():
    rows = [OPENING_LINE, ENTRY_LINE, TORN, TEAR_LINE, SEAL_LINE]
    finding = verify_segment(rows, {hex_of(KEY.public_key())}, NAME, 3)
    assert (finding.faults, finding.unsealed, finding.tears, finding.head.entries) == ([], 0, 1, 1)


def test_the_same_facts_are_written_as_the_same_lines():
    head = SegmentHead(NAME)
    assert head.opening("2026-11-28", "host-1", hex_of(KEY.public_key()), BEFORE) == OPENING_LINE
    assert head.entry(printed(ENTRY)) == ENTRY_LINE
    assert head.tear(TORN) == TEAR_LINE
    assert head.seal(KEY, SEAL.at, is_final=False) == SEAL_LINE


def test_a_stored_tombstone_is_read_verified_and_written_the_same(tmp_path):
    path = tmp_path / "audit-tombstones.log"
    path.write_bytes(TOMBSTONE_LINE)
    [one] = tombstones(tmp_path)
    digest = "bcd3d244f6b2514bd5dd510bbf2967131df836bb0fc8d471c44084345b93b240"
    bare = SegmentTombstone(NAME, digest, 1, 1_795_953_600_000_000, hex_of(KEY.public_key()))
    assert one.is_signed()
    assert one == bare.signed(KEY)
    path.unlink()
    add_tombstone(tmp_path, one)
    assert path.read_bytes() == TOMBSTONE_LINE
