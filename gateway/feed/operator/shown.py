"""Format the output of `feed show` for a person: the message, its attempts, and the fields that changed.

HL7 v2.5.1 §2.15.8 (MSA), §2.15.5 (ERR); decision D39.
Proved by tests/gateway/feed/operator/test_show.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

_LONG: Final = 400  # characters shown of a segment or a value: a PDF in Base64 is far longer
_PURGED: Final = "its text and attempts were deleted after feed.retention_days"
_NO_ANSWER: Final = "nothing came back"


def lines(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of one message, from the JSON form that gateway/feed/operator/show.py makes."""
    yield f"{message['destination']}  {message['controlId']}  {_state(message)}"
    yield f"  of        {message['cause']}, {message['reportId']}, {message['studyId']}, Patient/{message['patientId']}"
    yield f"  numbers   {', '.join(message['fillerOrderNumbers'])} (OBR-3)"
    moments = [
        f"{name} {message[name]}" for name in ("made", "sent", "committed", "accepted", "closed") if message[name]
    ]
    yield f"  when      {', '.join(moments)}"
    yield f"  bytes     {message['size']}, sha256 {message['sha256'] or 'not known'}"
    if "order" in message:
        yield f"  order     {message['order']['line']}"
    if "held" in message:
        yield f"  held      a later message, for {', '.join(message['held'])}"
    yield from _others(message)
    for attempt in message["attempts"]:
        yield from _attempt(attempt)
    if message["message"] is None:
        yield f"  message   {_PURGED}"
        return
    if not message["attempts"]:
        yield "  attempts  none is kept"
    yield "  message"
    for segment in message["message"]["segments"]:
        yield f"    {short(segment)}"


def short(text: str) -> str:
    """Shorten a text that is too long for a screen."""
    return text if len(text) <= _LONG else f"{text[:_LONG]}… ({len(text) - _LONG} more characters: --json has them)"


def _state(said: Mapping[str, Any]) -> str:
    why = f" ({said['reason']})" if said["reason"] else ""
    return f"{said['state']}{why}{', ' + said['ack'] if said['ack'] else ''}"


def _others(message: Mapping[str, Any]) -> Iterator[str]:
    for control_id in message["inPlaceOf"]:
        yield f"  supersedes {control_id}, which was not sent"
    if message["supersededBy"]:
        yield f"  superseded by {message['supersededBy']}"
    replaced = message["replaced"]
    if replaced is None:
        yield "  replaced  nothing: no message was sent before under one of its numbers"
        return
    yield f"  replaced  {replaced['controlId']}, sent {replaced['sent']}"
    if replaced["changed"] is None:
        yield "    the difference is not known: a text was deleted after feed.retention_days"
        return
    for (place, was, now), count in Counter(map(_of_any, replaced["changed"])).items():
        yield f"    {place}{f' of {count} segments' if count > 1 else ''}"
        yield f"      was  {short(was) or '(nothing)'}"
        yield f"      now  {short(now) or '(nothing)'}"
    if not replaced["changed"]:
        yield "    the same, but for MSH-7 and MSH-10"


def _of_any(changed: Mapping[str, str]) -> tuple[str, str, str]:
    """Return a change without its segment number, so that equal changes of several segments can be counted."""
    return re.sub(r"\[\d+\]", "", changed["place"]), changed["was"], changed["now"]


def _attempt(attempt: Mapping[str, Any]) -> Iterator[str]:
    why = attempt["reason"] if attempt["reason"] not in {"", attempt["ack"]} else ""
    came = ", ".join(part for part in (attempt["state"], why, attempt["ack"]) if part)
    begun = f"{attempt['begun']} to " if attempt["begun"] else ""
    yield f"  attempt {attempt['attempt']}  {begun}{attempt['ended']}: {came}"
    yield f"    {connection(attempt['connection'])}"
    answer = attempt["answer"]
    if answer is None:
        yield f"    {_NO_ANSWER}"
        return
    for segment in answer["segments"]:
        yield f"    < {short(segment)}"
    if "unreadable" in answer:
        yield f"    no acknowledgement: {answer['unreadable']}"
    else:
        yield f"    {answer['code']} for {answer['controlId'] or 'no MSH-10'}{_quoted(answer['text'])}"
    for error in answer.get("errors", ()):
        place = f" at {error['location']}" if error["location"] else ""
        yield f"    error {error['code'] or 'without a code'}{place}{_quoted(error['text'])}"


def connection(described: Mapping[str, Any]) -> str:
    """Return the description of a connection in words."""
    parts = []
    if described.get("when") == "late":
        parts.append("came later")
    if "by" in described:
        parts.append("over a connection that the receiver opened")
    if "to" in described:
        parts.append(f"to {described['to']}")
    if "peer" in described:
        parts.append(f"with {described['peer']}")
    if "tls" in described:
        parts.append(str(described["tls"]))
    if "tls" in described and "sha256" in described:
        parts[-1] += f", certificate of {described['subject']}, sha256 {described['sha256']}"
    if "connection" in described:
        parts.append(f"connection {described['connection']} of {described['of']}")
    return ", ".join(parts) or "over a connection of which nothing is known"


def _quoted(text: str) -> str:
    return f": {short(text)}" if text else ""
