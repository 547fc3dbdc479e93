"""A fast AutoScribe stand-in with any number of studies and a fixed latency.

`python fast_upstream.py <studies> <latency in ms>` listens on a free port that it prints. The studies are those of the
sandbox again and again, with ids and patients of their own; `/count` tells for how many the reports were given. The
lists of unsigned and of cancelled studies are empty, so that the sweep alone crawls.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fakes.seeded import documents

from gateway.runtime.signals import stop_signal
from gateway.sandbox.seed import generate

TEMPLATES = 60
VISITS = 3  # studies about the same patient
API = "/v1/autoScribe"
FILTERS = {"studyReportStatus", "isCancelled"}


class Account:
    """Account whose studies are generated on request, by number."""

    def __init__(self, studies: int) -> None:
        templates = list(documents(generate(studies=TEMPLATES)))
        self.studies, self.given = studies, 0
        self._templates = [(json.dumps(study), json.dumps(listed)) for study, listed, _ in templates]
        self._users = {one["userId"]: json.dumps(one) for *_, users in templates for one in users}

    def answer(self, target: str) -> str | None:
        """Return the answer to a GET; None if there is no such resource."""
        url = urlsplit(target)
        path, query = url.path.removeprefix(API), {name: value[0] for name, value in parse_qs(url.query).items()}
        if path == "/studies" and not FILTERS.isdisjoint(query):
            return '{"studies":[],"hasMore":false}'
        if path == "/studies":
            return self._page(int(query.get("cursor", 0)), int(query["limit"]))
        if path == "/reports":
            self.given += 1
            return self._of(int(query["studyId"][4:], 16))[1]
        if path == "/count":
            return json.dumps(self.given)
        return self._users.get(path.removeprefix("/users/"))

    def _page(self, start: int, limit: int) -> str:
        end = min(start + limit, self.studies)
        rows = ",".join(self._of(number)[0] for number in range(start, end))
        return f'{{"studies":[{rows}],"hasMore":{json.dumps(end < self.studies)},"cursor":"{end}"}}'

    def _of(self, number: int) -> tuple[str, str]:
        """A study and its reports: what its template has of ids and of MRN is the number's own."""
        study, listed = self._templates[number % TEMPLATES]
        reports = itertools.count(number * 16)
        ids: dict[str, str] = {json.loads(study)["studyId"]: f"stu_{number:032x}"}
        for one in re.findall(r"rep_[0-9a-f]{32}", listed):
            ids.setdefault(one, f"rep_{next(reports):032x}")
        return _with(study, ids, number), _with(listed, ids, number)


def _with(text: str, ids: dict[str, str], number: int) -> str:
    for old, new in ids.items():
        text = text.replace(old, new)
    text = re.sub(r'("studyInstanceUid": "[0-9.]+)', rf"\g<1>.{number}", text)
    patient = number // (TEMPLATES * VISITS) * TEMPLATES + number % TEMPLATES
    return re.sub(r'("mrn": ")[^"]+', rf"\g<1>{1_000_000 + patient}", text)


class Connection(asyncio.Protocol):
    """HTTP/1.1 of GETs without a body, one after the other."""

    def __init__(self, account: Account, latency: float) -> None:
        self._account, self._latency = account, latency
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            found = self._account.answer(head.split(b" ", 2)[1].decode())
            status, body = ("200 OK", found) if found is not None else ("404 Not Found", "{}")
            sent = body.encode()
            answer = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, answer.encode() + sent)


async def main(studies: int, latency: float) -> None:
    account = Account(studies)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(account, latency / 1000), "127.0.0.1", 0)
    async with server, stop_signal() as stop:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
