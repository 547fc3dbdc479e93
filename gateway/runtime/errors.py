"""Exception classes of the gateway, in a tree: each has a code, says whether to retry, and names a remedy.

    GatewayError
    ├── ConfigError                 a setting is wrong: the key and the remedy are named
    ├── UpstreamError               a request to AutoScribe failed
    │   ├── UpstreamUnreachable     no connection, or it broke before a GET was answered whole
    │   ├── UpstreamTimeout         no answer in time
    │   ├── UpstreamAmbiguous       a POST may or may not have been carried out
    │   ├── UpstreamKeyRefused      401 or 403 on our key
    │   ├── UpstreamNotFound        404
    │   ├── UpstreamConflict        409: an addendum is already active, or none is
    │   ├── UpstreamUnprocessable   422: the report's state does not allow it
    │   ├── UpstreamRefused         another 4xx
    │   ├── UpstreamThrottled       429
    │   ├── UpstreamFailed          500 or more
    │   ├── UpstreamTooLarge        a body over the size limit
    │   ├── UpstreamNotUnderstood   a body that does not follow the contract
    │   ├── PdfUnavailable          the PDF link does not give a PDF from an allowed host
    │   └── PdfInterrupted          the PDF's host did not answer, or broke off
    ├── StoreError                  an operation of the store failed
    │   ├── StoreUnavailable        it cannot be reached, is locked, or its disk is full
    │   ├── StoreValueRefused       it cannot hold a value, however often it is asked
    │   ├── StudyContended          others write the same study faster than it can be written
    │   └── StoreTooSlow            a query took longer than it may
    ├── RowUnreadable               a row of the store is damaged, or from a newer release
    ├── IssuerUnavailable           the external issuer of tokens does not answer, and its keys are needed
    ├── AuditUnavailable            the audit journal cannot be written: no data of a patient is shown
    ├── AuditNotForwarded           the syslog receiver takes no copy of the audit; the journal goes on
    ├── WorkerLost                  the worker process of a computation ended, and so did a second one
    ├── EhrUnavailable              the EHR's FHIR API does not answer, or asks to wait: nothing is known of its charts
    ├── FeedError                   a message did not reach its receiver
    │   ├── ConnectFailed           no connection: nothing was sent
    │   ├── SendFailed              the connection broke while the message was being written
    │   ├── AckTimeout              the message was written, no acknowledgement came in time
    │   ├── ConnectionLost          the message was written, the peer went away before it acknowledged
    │   ├── AckUnreadable           the message was written, the answer is no acknowledgement
    │   └── FrameInvalid            bytes that are no MLLP frame
    └── RequestError                a FHIR client asked for something that cannot be given
        ├── BadRequest              malformed parameter, header or body
        ├── NotSupported            a parameter, modifier or value that is not offered
        ├── OperationNotOffered     an operation, `$name`, that is not offered there
        ├── SearchTooCostly         nothing narrows the search
        ├── WordsIncomplete         the words of earlier reports are not all read yet
        ├── CredentialsMalformed    the access token came in a way that is not taken
        ├── NotAuthenticated        no access token, or one that is not valid
        ├── Forbidden               the scopes of the access token do not allow it
        ├── ResourceNotFound        unknown type, id or version; a suppressed resource
        ├── PageExpired             a paging link was kept for longer than it is good for
        ├── ResourceWithdrawn       the report is not valid any more: its Binary is not served
        ├── RangeNotSatisfiable     a Range that begins behind the end
        ├── MethodNotAllowed        the interaction is not offered
        ├── NotAcceptable           no format that the client accepts
        ├── UnsupportedMediaType    the body is of a type that is not read
        ├── RequestTooLarge         the body is over the limit
        ├── Throttled               the client has too many costly requests under way
        ├── WrongHost               addressed to a host name that is not this gateway's
        ├── IdempotencyKeyMissing   an operation that must not run twice came without a key
        ├── IdempotencyKeyReused    its key was given for another request before
        ├── VersionConflict         If-Match names another version than the current one
        └── NoMessage               the report causes no HL7 v2 message that may be sent

Every leaf has a stable `code`, a `retry` class (what a repeat risks), the facade's HTTP status, an issue code (of
https://hl7.org/fhir/R4/valueset-issue-type.html) and a `remedy`. Messages hold ids, codes, offsets, counts, no payload.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Retry = Literal["transient", "ambiguous", "permanent"]


class GatewayError(Exception):
    """Base of every error that the gateway raises on purpose."""

    code: ClassVar[str] = "gateway"
    retry: ClassVar[Retry] = "permanent"
    http_status: ClassVar[int] = 500
    issue_code: ClassVar[str] = "exception"
    remedy: str = "Report this with the correlation id."


class ConfigError(GatewayError):
    """A setting is missing or wrong."""

    code = "config"
    remedy = "Mend the setting that is named; `autoscribe-gateway check-config` checks them all."

    def __init__(self, source: str, key: str, problem: str, remedy: str) -> None:
        self.source, self.key, self.problem, self.cure = source, key, problem, remedy
        super().__init__(f"{source}: {key}: {problem}. {remedy}")


class UpstreamError(GatewayError):
    """A request to AutoScribe failed."""

    code, http_status, issue_code = "upstream", 502, "transient"
    remedy = "See the upstream request id in AutoScribe's support."

    def __init__(
        self,
        operation: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        self.operation, self.status, self.request_id = operation, status, request_id
        self.retry_after, self.detail = retry_after, detail
        answered = f"status {status}" if status is not None else ""
        asked = f"upstream request {request_id}" if request_id else ""
        super().__init__(", ".join(filter(None, (f"{operation}: {self.code}", answered, asked, detail))))


class UpstreamUnreachable(UpstreamError):
    """No connection to AutoScribe could be made, or it broke before a GET was answered whole."""

    code, retry, http_status = "upstream-unreachable", "transient", 503
    remedy = "Check AVARA_BASE_URL, the proxy and the firewall."


class UpstreamTimeout(UpstreamError):
    """AutoScribe did not answer in time."""

    code, retry, http_status, issue_code = "upstream-timeout", "transient", 504, "timeout"
    remedy = "Try again; raise upstream.timeout if it is always so."


class UpstreamAmbiguous(UpstreamError):
    """The request may have been carried out, but the answer was lost: it is not sent again."""

    code, retry, http_status, issue_code = "upstream-ambiguous", "ambiguous", 504, "timeout"
    remedy = "Read the report's study to see whether it was carried out, before asking again."


class UpstreamKeyRefused(UpstreamError):
    """AutoScribe refused the gateway's API key, or its scope does not cover the request."""

    code, http_status, issue_code = "upstream-key-refused", 502, "processing"
    remedy = "Check AVARA_API_KEY; it needs the study scope All."


class UpstreamNotFound(UpstreamError):
    """AutoScribe does not know the object, or does not show it to this key."""

    code, http_status, issue_code = "upstream-not-found", 404, "not-found"
    remedy = "Check the id, and that the API key has the study scope All."


class UpstreamConflict(UpstreamError):
    """AutoScribe says the report is in another state."""

    code, http_status, issue_code = "upstream-conflict", 409, "conflict"
    remedy = "Read the report; an addendum may already be open."


class UpstreamUnprocessable(UpstreamError):
    """AutoScribe says the report's state does not allow this."""

    code, http_status, issue_code = "upstream-unprocessable", 422, "business-rule"
    remedy = "Only a signed report can have an addendum, only an active addendum can be cancelled."


class UpstreamRefused(UpstreamError):
    """AutoScribe refused the request for a reason that no other class names."""

    code, issue_code = "upstream-refused", "processing"
    remedy = "The gateway and this AutoScribe may disagree about the API: report it with the status."


class UpstreamThrottled(UpstreamError):
    """AutoScribe asks for fewer requests."""

    code, retry, http_status, issue_code = "upstream-throttled", "transient", 429, "throttled"
    remedy = "Wait as Retry-After says."


class UpstreamFailed(UpstreamError):
    """AutoScribe failed."""

    code, retry, http_status = "upstream-failed", "transient", 502
    remedy = "Try again later."


class UpstreamTooLarge(UpstreamError):
    """AutoScribe's answer is over the size limit."""

    code, issue_code = "upstream-too-large", "too-costly"
    remedy = "Raise upstream.max_response_bytes if such answers are right."


class UpstreamNotUnderstood(UpstreamError):
    """AutoScribe's answer does not follow its contract."""

    code, issue_code = "upstream-not-understood", "processing"
    remedy = "The pointer names the place; AutoScribe may have changed its API."


class PdfUnavailable(UpstreamError):
    """The PDF of a report is not available."""

    code, http_status, issue_code = "pdf-unavailable", 502, "processing"
    remedy = "Ask again later; where no host is allowed, check that pdf.allowed_hosts names AutoScribe's PDF store."


class PdfInterrupted(UpstreamError):
    """The host of the PDFs did not answer, failed in passing, or broke off."""

    code, retry = "pdf-interrupted", "transient"
    remedy = "Try again; check the way to AutoScribe's PDF store if it is always so."


class StoreError(GatewayError):
    """An operation of the store failed; `cause` is the database's code, `words` name no location."""

    code, http_status, issue_code = "store", 503, "transient"
    retry: ClassVar[Retry] = "transient"
    remedy = "Look at the database."

    def __init__(self, detail: str, cause: str = "", words: str = "", remedy: str = "") -> None:
        self.detail, self.cause, self.words, self.remedy = detail, cause, words or detail, remedy or type(self).remedy
        super().__init__(f"{self.code}: {detail}")


class StoreUnavailable(StoreError):
    """The store cannot be reached, is locked by another process, or its disk is full."""

    code = "store-unavailable"
    remedy = "Check the database of database.url, its disk and its locks; then ask again."


class StoreValueRefused(StoreError):
    """The database cannot hold a value, such as one that is too long: it refuses it each time."""

    code = "store-value-refused"
    remedy = "Report this with the version of the gateway."


class StudyContended(StoreError):
    """Others wrote the study, or what it depends on, again and again before it could be written."""

    code = "study-contended"
    remedy = "Ask again later; report this if it is always the same study."


class StoreTooSlow(StoreError):
    """A query took longer than it may, and was stopped."""

    code, retry, http_status, issue_code = "store-too-slow", "permanent", 400, "too-costly"
    remedy = "Narrow the search: name a patient, an identifier, or a shorter window of dates."


class RowUnreadable(GatewayError):
    """A row of the store is damaged, or was written by a newer release. The other rows can be read."""

    code = "row-unreadable"
    remedy = "Run the newest release that has written the database; else restore the database from a backup."


class IssuerUnavailable(GatewayError):
    """The external issuer of access tokens does not answer, and a key of it is needed that is not known."""

    code, retry, http_status, issue_code = "issuer-unavailable", "transient", 503, "transient"
    remedy = "Check auth.issuer with `check-config --online`; then send the request again."


class AuditUnavailable(GatewayError):
    """The audit journal cannot be written, so no data of a patient is shown."""

    code, retry, http_status, issue_code = "audit-unavailable", "transient", 503, "transient"
    remedy = "Check the folder of the audit journal: its disk may be full or failing. Then ask again."


class AuditNotForwarded(GatewayError):
    """The syslog receiver of the audit cannot be reached. Entries stay in the journal, and are sent later."""

    code = "audit-not-forwarded"
    remedy = "Check audit.syslog, its certificate, and the receiver. What was not sent is sent once it answers."


class WorkerLost(GatewayError):
    """The worker process of a computation ended, and so did a second one."""

    code, retry, http_status, issue_code = "worker-lost", "transient", 503, "transient"
    remedy = "Look at the memory of the machine: its system ends processes that need too much."


class EhrUnavailable(GatewayError):
    """The EHR's FHIR API gave no usable answer. `wait` is how many seconds it asked to wait, 0 if it did not say."""

    code, retry, http_status, issue_code = "ehr-unavailable", "transient", 503, "transient"
    remedy = "Check ehr_url, ehr_token_url and the client at the EHR. What is due is asked once it answers."

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        self.reason, self.wait = reason, wait
        super().__init__(f"{self.code}, {reason}")


class FeedError(GatewayError):
    """A message did not reach its receiver, or is not known to have arrived."""

    code, http_status = "feed", 502
    retry: ClassVar[Retry] = "transient"
    remedy = "Look at the receiver."

    def __init__(self, where: str, detail: str = "") -> None:
        super().__init__(f"{where}: {self.code}" + (f", {detail}" if detail else ""))


class ConnectFailed(FeedError):
    """No connection to the receiver: nothing was sent."""

    code = "connect-failed"
    remedy = "Check the receiver's host, port and TLS settings."


class SendFailed(FeedError):
    """The connection broke while the message was being written: the receiver may hold a part of it."""

    code, retry = "send-failed", "ambiguous"
    remedy = "The same bytes are sent again on a new connection."


class AckTimeout(FeedError):
    """The message was written and no acknowledgement came in time."""

    code, retry, issue_code = "ack-timeout", "ambiguous", "timeout"
    remedy = "The same bytes with the same MSH-10 are sent again; the receiver removes the duplicate."


class ConnectionLost(FeedError):
    """The message was written and the peer went away before it acknowledged."""

    code, retry = "connection-lost", "ambiguous"
    remedy = "The same bytes with the same MSH-10 are sent again; the receiver removes the duplicate."


class AckUnreadable(FeedError):
    """The message was written and the answer is no readable acknowledgement; gives the offset, not the bytes."""

    code, retry = "ack-unreadable", "ambiguous"
    remedy = "The peer does not speak MLLP, or its acknowledgements are over the limit; the same bytes are sent again."


class FrameInvalid(FeedError):
    """Bytes that are no MLLP frame; gives the offset, never the bytes."""

    code, retry = "frame-invalid", "permanent"
    remedy = "The peer does not speak MLLP, or its frames are larger than the limit."
