r"""Parse the inputs of a FHIR operation from the query string and from a Parameters resource in the body.

https://hl7.org/fhir/R4/operations.html#request. An unknown name is refused, since ignoring it would answer another
question. A Coding becomes `system|code`, escaped as in a search.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from starlette.requests import Request

from gateway.fhir_api.audit.shown import give
from gateway.fhir_api.http.body import json_body
from gateway.fhir_api.http.headers import FHIR_JSON, FHIR_XML, accepted
from gateway.fhir_api.http.query import (
    FORMATS,
    MAX_PARAMETERS,
    MAX_QUERY_BYTES,
    MAX_VALUE_LENGTH,
    PAGE,
    Parameters,
    parameters,
)
from gateway.fhir_api.served import Operation
from gateway.runtime.request_errors import BadRequest, NotAcceptable, NotSupported

_ALWAYS: Final = frozenset({*FORMATS, PAGE})
_ANY_RESOURCE: Final = FHIR_JSON | FHIR_XML | {"*/*", "application/*"}
_SPECIAL: Final = re.compile(r"([\\|,$])")


async def inputs(request: Request, row: Operation) -> Parameters:
    """Return the inputs in order, including `_format`, `_pretty` and the page token.

    Raises:
        BadRequest: an input is malformed, missing though needed, or repeated though single.
        NotSupported: the operation has no such input.
        RequestTooLarge: the body is over the limit.
        UnsupportedMediaType: the body has another media type than JSON.
    """
    given = parameters(request)
    if request.method == "POST":
        posted = tuple(_posted(await json_body(request, MAX_QUERY_BYTES)))
        give(request.scope, posted)
        given = (*given, *posted)
    names = [name for name, _ in given]
    known = {one.name for one in row.inputs} if PAGE not in names else set()
    for name in names:
        if name not in known and name not in _ALWAYS:
            beside = " beside a page" if PAGE in names else ""
            raise NotSupported(f"${row.name}{beside} does not take this parameter", expression=_place(name))
    for declared in row.inputs if PAGE not in names else ():
        if declared.is_needed and declared.name not in names:
            raise BadRequest(f"${row.name}: {declared.name} is needed", expression=_place(declared.name))
        if declared.most == "1" and names.count(declared.name) > 1:
            raise BadRequest(f"${row.name}: {declared.name} is given more than once", expression=_place(declared.name))
    return given


def formats(given: Parameters) -> Parameters:
    """Keep only the parameters that choose the format of the answer."""
    return tuple(pair for pair in given if pair[0] in FORMATS)


def prefers(request: Request, given: Parameters, media_types: Collection[str]) -> bool:
    """True if the client prefers one of these media types over a FHIR format.

    Raises:
        NotAcceptable: the client accepts none of them, and no FHIR format.
    """
    for media_type in accepted(request, given):
        if media_type in media_types:
            return True
        if media_type in _ANY_RESOURCE:
            return False
    raise NotAcceptable("no format that is offered here; /fhir/metadata names those of the operation")


def _place(name: str) -> str:
    """Return the expression of a parameter; empty for a client's name that is no identifier, so it is not echoed."""
    return f"http.{name}" if name.isidentifier() or name == "on-demand" else ""


def _posted(body: Any) -> Iterator[tuple[str, str]]:
    """Yield name and value of each parameter in a Parameters resource."""
    if body is None:
        return
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise BadRequest("the body: expected a Parameters resource, or none", expression="Parameters")
    rows = body.get("parameter", [])
    if not isinstance(rows, list) or len(rows) > MAX_PARAMETERS:
        raise BadRequest(f"expected a list of at most {MAX_PARAMETERS}", expression="Parameters.parameter")
    for number, row in enumerate(rows):
        place = f"Parameters.parameter[{number}]"
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise BadRequest("expected a parameter with a name", expression=place)
        text = _text(row)
        if text is None or not text.isprintable() or len(text) > MAX_VALUE_LENGTH:
            raise BadRequest("expected one value: a primitive, Coding or CodeableConcept", expression=place)
        if text:
            yield row["name"], text


def _text(row: Mapping[str, Any]) -> str | None:
    """Return the value of a parameter as query-string text; None if it is no primitive, Coding or CodeableConcept."""
    values = [(key, value) for key, value in row.items() if key not in {"name", "id"}]
    if len(values) != 1:
        return None
    [(key, value)] = values
    if key == "valueCoding":
        return _token(value)
    if key == "valueCodeableConcept":
        codings = value.get("coding") if isinstance(value, dict) else None
        tokens = [_token(one) for one in codings] if isinstance(codings, list) else [None]
        return None if None in tokens else ",".join(filter(None, tokens))
    if isinstance(value, bool):
        return "true" if value else "false"
    is_primitive = key.startswith("value") and isinstance(value, str | int)
    return str(value) if is_primitive else None


def _token(coding: Any) -> str | None:
    if not isinstance(coding, dict):
        return None
    system, code = coding.get("system", ""), coding.get("code", "")
    if not isinstance(system, str) or not isinstance(code, str) or not (system or code):
        return None
    system, code = (_SPECIAL.sub(r"\\\1", text) for text in (system, code))
    return f"{system}|{code}" if system else code
