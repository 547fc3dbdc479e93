"""Parse the query string or form of a request strictly, within limits, and name the parameters that shape a result.

https://url.spec.whatwg.org/#urlencoded-parsing, except that bytes that are no UTF-8 are refused.
https://hl7.org/fhir/R4/search.html#modifyingresults.
"""

from __future__ import annotations

import re
from typing import Final, cast
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from gateway.runtime.request_errors import BadRequest, RequestTooLarge, UnsupportedMediaType

FORM: Final = "application/x-www-form-urlencoded"
PAGE: Final = "_page"
FORMATS: Final = ("_format", "_pretty")
COUNT: Final = "_count"
USUAL_COUNT: Final = 50
MOST_COUNT: Final = 500
MAX_QUERY_BYTES: Final = 8_192
# A page token contains the whole query, so it may be longer than a query
MAX_PAGE_BYTES: Final = 14_336
MAX_PARAMETERS: Final = 100
MAX_VALUE_LENGTH: Final = 4_096
MAX_NAME_LENGTH: Final = 128
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
# Control characters, which no value needs; spaces of other scripts are allowed
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")

_PARSED: Final = "gateway.parameters"  # scope key

# Parameter -> description of its values, for the CapabilityStatement and the documents
RESULT_PARAMETERS: Final = {
    COUNT: f"How many to a page: {USUAL_COUNT} where nothing is said, {MOST_COUNT} at most; 0 counts only."
    " Beside _page too.",
    "_sort": "Names of search parameters with commas between, `-` before one to go down.",
    "_include": "What the matches refer to: Type:parameter, Type:parameter:Target, or * for all of it.",
    "_include:iterate": "The same of what is included, one step.",
    "_revinclude": "What refers to the matches: Type:parameter.",
    "_summary": "true, text, data, count or false.",
    "_elements": "Names of elements with commas between: no others but mandatory ones are given.",
    "_total": "estimate or accurate: matches are counted; none: no total. Without it: a total if one page has all.",
    "_format": "json, xml, application/fhir+json or application/fhir+xml; stands above the Accept header.",
    "_pretty": "true: with line breaks and indents.",
    "_contained": "false: what is contained, the Endpoints of an ImagingStudy, is not searched.",
    "_explain": "true, of this gateway alone: an OperationOutcome says how the answer was found, and what the mappings "
    "had to say of it.",
    PAGE: "A page of a search that was begun: a token of this gateway, good for an hour.",
}

Parameters = tuple[tuple[str, str], ...]


def parameters(request: Request) -> Parameters:
    """Return the query's parameters in order, without empty ones, which R4 ignores; kept in the request's scope.

    Raises:
        BadRequest: over a limit, no UTF-8, a control character, or an impossible parameter name.
    """
    scope = request.scope
    query: bytes = scope["query_string"]
    if not query:
        return ()
    of_query, parsed = scope.get(_PARSED, (b"", ()))
    if of_query != query:  # an entry of a batch has the scope of the batch, with a query of its own
        parsed = _parse_pairs(query)
        scope[_PARSED] = (query, parsed)
    return cast(Parameters, parsed)


async def form_parameters(request: Request) -> Parameters:
    """Return the parameters in the form body of a search by POST, in order.

    Raises:
        UnsupportedMediaType: the body is no form.
        RequestTooLarge: the body is over the limit; reading stops there.
        BadRequest: see `parameters`.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_PAGE_BYTES:
            raise RequestTooLarge(f"the form is longer than {MAX_PAGE_BYTES} bytes")
    if not body:
        return ()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType(f"the parameters of a search are posted as {FORM}")
    return _parse_pairs(bytes(body))


def _parse_pairs(query: bytes) -> Parameters:
    if len(query) > (MAX_PAGE_BYTES if f"{PAGE}=".encode() in query else MAX_QUERY_BYTES):
        raise BadRequest(f"more than {MAX_QUERY_BYTES} bytes of parameters")
    try:
        fields = query.decode("ascii").split("&")
        if len(fields) > MAX_PARAMETERS:
            raise BadRequest(f"more than {MAX_PARAMETERS} parameters")
        parted = [field.partition("=") for field in fields if field]
        pairs = [(_decoded(name), _decoded(value)) for name, _, value in parted]
    except UnicodeDecodeError:
        raise BadRequest("the parameters are not percent-encoded UTF-8") from None
    for name, value in pairs:
        if len(name) > MAX_NAME_LENGTH or not NAME.fullmatch(name):
            raise BadRequest("a parameter has a name that no search parameter can have")
        if len(value) > MAX_VALUE_LENGTH and name != PAGE:
            raise BadRequest(f"a value is longer than {MAX_VALUE_LENGTH} characters", expression=f"http.{name}")
        if _CONTROL.search(value):
            raise BadRequest("a value holds a control character", expression=f"http.{name}")
    return tuple((name, value) for name, value in pairs if value)


def _decoded(text: str) -> str:
    """Decode a percent-encoded name or value.

    Raises:
        UnicodeDecodeError: the bytes are no UTF-8.
    """
    text = text.replace("+", " ")
    return unquote_to_bytes(text).decode() if "%" in text else text


def value_of(given: Parameters, name: str) -> str | None:
    """Return the last value of a parameter, None if it is absent."""
    for key, value in reversed(given):
        if key == name:
            return value
    return None


def count_of(given: Parameters) -> int:
    """Parse `_count`: the page size, at most `MOST_COUNT`; 0 asks for the total only.

    Raises:
        BadRequest: the value is no whole number.
    """
    value = value_of(given, COUNT)
    if value is None:
        return USUAL_COUNT
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise BadRequest("_count: expected a whole number", expression="http._count")
    return min(int(value), MOST_COUNT)
