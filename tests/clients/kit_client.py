"""fhir-kit-client, the client of JavaScript programs, in a Node.js process of its own; needs Node.js and npm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clients.client import NOTHING, Json, Params, Refusal, matches
from conformance.outside import node

KIT = Path(__file__).parent / "kit"
ERRORS: dict[int | None, str] = {None: "Error"}


class KitError(Exception):
    """What the client threw; `answer` has its type and the response that it carries."""

    def __init__(self, answer: Json) -> None:
        super().__init__(answer["message"])
        self.answer = answer


class FhirKitClient:
    """The client, called over the standard streams of `kit/drive.mjs`."""

    errors = ERRORS

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def capability(self) -> Json:
        return self.ask("capability")

    def find(self, kind: str, params: Params) -> list[Json]:
        return [one for page in self.ask("pages", kind, params) for one in matches(page)]

    def page(self, kind: str, params: Params) -> Json:
        return self.ask("page", kind, params)

    def read(self, reference: str) -> Json:
        return self.ask("read", reference)

    def vread(self, reference: str, version: str) -> Json:
        return self.ask("vread", reference, version)

    def refusal(self, method: str, path: str) -> Refusal:
        try:
            self.ask("post", path, NOTHING) if method == "post" else self.ask("get", path)
        except KitError as error:
            return Refusal(error.answer["error"], error.answer["response"]["data"])
        raise AssertionError("it was not refused")

    def ask(self, what: str, *given: Any) -> Any:
        """What the client answers to one call."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([what, *given]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise KitError(answer)
        return answer["value"]


@contextmanager
def fhir_kit_client(base: str) -> Iterator[FhirKitClient]:
    """The client while the block runs; skips without Node.js or npm."""
    command = node("drive.mjs", base, under=KIT)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        yield FhirKitClient(process)
