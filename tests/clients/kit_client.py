"""The clients of JavaScript programs, each in a Node.js process of its own; they need Node.js and npm.

https://hl7.org/fhir/R4/http.html. fhir-kit-client, SMART's fhirclient and Medplum's client. What fhirclient brings for
browsers without cryptography is put aside in `kit/package.json`: on Node.js it is never loaded, and is 350 MB large.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from clients.client import NOTHING, Json, Params, Refusal
from conformance.outside import node

KIT = Path(__file__).parent / "kit"
# Client -> the type that it throws
ERRORS: Final = {"fhir-kit-client": "Error", "fhirclient-js": "HttpError", "medplum": "OperationOutcomeError"}


class KitError(Exception):
    """Error thrown by the client; `answer` has its type, the status, and its view of the body."""

    def __init__(self, answer: Json) -> None:
        super().__init__(answer["message"])
        self.answer = answer


class JavaScriptClient:
    """The client, called over the standard streams of `kit/drive.mjs`."""

    has_primitive_extensions = True

    def __init__(self, process: subprocess.Popen[str], errors: Mapping[int | None, str]) -> None:
        self._process, self.errors = process, errors

    def capability(self) -> Json:
        return self.ask("capability")

    def find(self, kind: str, params: Params) -> list[Json]:
        return self.ask("find", kind, params)

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
            return Refusal(error.answer["error"], error.answer["outcome"])
        raise AssertionError("it was not refused")

    def ask(self, what: str, *given: Any) -> Any:
        """Return the client's answer to one call."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([what, *given]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise KitError(answer)
        return answer["value"]


@contextmanager
def javascript_client(
    name: str, base: str, token: str = "", authority: str | None = None
) -> Iterator[JavaScriptClient]:
    """The client while the block runs; skips without Node.js or npm.

    It has an access token if one is given, and trusts the authority in a file beside those of the system.
    """
    command = node("drive.mjs", base, name, under=KIT)
    env = {**os.environ, "ACCESS_TOKEN": token, **({"NODE_EXTRA_CA_CERTS": authority} if authority else {})}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env=env) as process:
        yield JavaScriptClient(process, {None: ERRORS[name]})


fhir_kit_client = partial(javascript_client, "fhir-kit-client")
smart_client = partial(javascript_client, "fhirclient-js")
medplum_client = partial(javascript_client, "medplum")
