"""Exception classes for FHIR requests that the server must refuse: bad parameter, unknown resource, and so on.

https://hl7.org/fhir/R4/http.html#Status-Codes. They are a branch of the tree in `gateway.runtime.errors`.
Proved by tests/gateway/runtime/test_errors.py.
"""

from __future__ import annotations

from typing import Final

from gateway.runtime.errors import GatewayError

_BEARER: Final = 'Bearer realm="autoscribe-gateway"'


class RequestError(GatewayError):
    """A FHIR client asked for something that cannot be given."""

    code, http_status, issue_code = "request", 400, "invalid"
    remedy = "See the capability statement at /fhir/metadata."
    challenge: str = ""
    """Value of the header WWW-Authenticate; empty for an error that has none."""

    def __init__(self, detail: str, *, expression: str = "") -> None:
        self.detail, self.expression = detail, expression
        super().__init__(detail)


class BadRequest(RequestError):
    """A parameter, header or body is malformed."""

    code = "bad-request"


class NotSupported(RequestError):
    """A parameter, modifier or value is not offered, and ignoring it would give a wrong answer."""

    code, issue_code = "not-supported", "not-supported"


class SearchTooCostly(RequestError):
    """Nothing narrows the search."""

    code, issue_code = "search-too-costly", "too-costly"
    remedy = "Name a patient, an identifier, a study, or a window of dates or of _lastUpdated."


class WordsIncomplete(RequestError):
    """The words of reports that were stored before `fhir.content_search` was set are not all read yet."""

    code, http_status, issue_code = "words-incomplete", 503, "incomplete"
    retry = "transient"
    remedy = "Search again later, or without _content."


class CredentialsMalformed(RequestError):
    """The request carries its access token in a way that is not taken (RFC 6750 §3.1, invalid_request)."""

    code, issue_code = "credentials-malformed", "security"
    remedy = "Send one header: Authorization: Bearer <token>."
    challenge = f'{_BEARER}, error="invalid_request"'


class NotAuthenticated(RequestError):
    """There is no access token, or it is not valid (RFC 6750 §3.1, invalid_token)."""

    code, http_status, issue_code = "not-authenticated", 401, "login"
    remedy = "Get a token: /fhir/.well-known/smart-configuration names the token endpoint."

    def __init__(self, detail: str, *, has_token: bool = False) -> None:
        self.challenge = f'{_BEARER}, error="invalid_token"' if has_token else _BEARER
        super().__init__(detail)


class Forbidden(RequestError):
    """The access token is valid, and its scopes do not allow the request (RFC 6750 §3.1, insufficient_scope)."""

    code, http_status, issue_code = "forbidden", 403, "forbidden"
    remedy = "Ask for a token with the scope that is needed; `clients list` shows the scopes of a client."
    challenge = f'{_BEARER}, error="insufficient_scope"'


class ResourceNotFound(RequestError):
    """There is no such resource, or it is not served."""

    code, http_status, issue_code = "resource-not-found", 404, "not-found"
    remedy = "Check the type and the id."


class OperationNotOffered(RequestError):
    """There is no such operation at this address."""

    code, http_status, issue_code = "operation-not-offered", 404, "not-supported"
    remedy = "/fhir/metadata names the operations of each type."


class PageExpired(RequestError):
    """The paging link is older than its lifetime."""

    code, http_status, issue_code = "page-expired", 410, "expired"
    remedy = "Search again from the first page."


class ResourceWithdrawn(RequestError):
    """The resource was withdrawn: it must not be read as valid."""

    code, http_status, issue_code = "resource-withdrawn", 410, "deleted"
    remedy = "Read the DiagnosticReport: it says entered-in-error, and its history what it said before."


class RangeNotSatisfiable(RequestError):
    """The Range begins behind the end; `size` is the number of bytes."""

    code, http_status, issue_code = "range-not-satisfiable", 416, "value"
    remedy = "Ask without Range, or for bytes that are there."

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the range begins behind the last of {size} bytes", expression="http.Range")


class MethodNotAllowed(RequestError):
    """The interaction is not offered."""

    code, http_status, issue_code = "method-not-allowed", 405, "not-supported"


class NotAcceptable(RequestError):
    """None of the formats the client accepts is offered."""

    code, http_status, issue_code = "not-acceptable", 406, "not-supported"
    remedy = "Ask for application/fhir+json or application/fhir+xml."


class UnsupportedMediaType(RequestError):
    """The body is of a type that is not read here."""

    code, http_status, issue_code = "unsupported-media-type", 415, "not-supported"
    remedy = "Send no body, or one of the media type that the diagnostics name."


class RequestTooLarge(RequestError):
    """The body is over the size limit."""

    code, http_status, issue_code = "request-too-large", 413, "too-long"
    remedy = "Send no body, or a smaller one; ask for less at once."


class Throttled(RequestError):
    """The client has too many costly requests under way."""

    code, http_status, issue_code = "throttled", 429, "throttled"
    retry = "transient"
    remedy = "Wait for the answers that are under way, or as long as Retry-After says."


class WrongHost(RequestError):
    """The Host header names another host: a page of another site may be behind it (DNS rebinding)."""

    code, http_status, issue_code = "wrong-host", 421, "security"
    remedy = "Use 127.0.0.1 or localhost, or the name in server.public_url."


class IdempotencyKeyMissing(RequestError):
    """An operation that must not run twice came without an Idempotency-Key."""

    code, issue_code = "idempotency-key-missing", "required"
    remedy = "Send an Idempotency-Key header of your choice; a repeat with the same key is answered, not carried out."


class IdempotencyKeyReused(RequestError):
    """The Idempotency-Key was given before, for another request."""

    code, http_status, issue_code = "idempotency-key-reused", 422, "business-rule"
    remedy = "Make a new key for every new request; repeat a request with the key it had."


class VersionConflict(RequestError):
    """If-Match names another version of the resource than the current one: nothing was done."""

    code, http_status, issue_code = "version-conflict", 412, "conflict"
    remedy = "Read the resource again, and repeat the request with its ETag in If-Match."


class NoMessage(RequestError):
    """The report causes no HL7 v2 message that may be sent to the receiver."""

    code, http_status, issue_code = "no-message", 422, "business-rule"
    remedy = "Ask once the report is signed; of a signed one the answer as application/fhir+json says what is wrong."
