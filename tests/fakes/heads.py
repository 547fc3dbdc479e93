"""Messages in the form that a sender claims."""

from __future__ import annotations

from gateway.store.feed.messages import Head


def message(control_id: str) -> bytes:
    return f"MSH|^~\\&|GW|A|EHR|B|20260105163014+0000||ORU^R01^ORU_R01|{control_id}|P|2.5.1\rPID|1\r".encode()


def head(number: int = 1, body: bytes | None = None, **more: object) -> Head:
    """Make a message with that number; MSH-10 is `ID` and the number."""
    usual = {"attempts": 0, "doubts": 0, "is_critical": False, "signed": None, "filler_order_numbers": ("F1",)}
    rest = {
        "study_id": "stu_1",
        "kind": "signed",
        "state": "sending",
        "report_ids": ("rep_1",),
        "patient_id": "pat-1",
        "was_sent": False,
    }
    control_id = f"ID{number}"
    return Head(
        number=number,
        report_id="rep_1",
        control_id=control_id,
        body=message(control_id) if body is None else body,
        **{**usual, **rest, **more},
    )
