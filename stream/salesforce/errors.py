"""What Salesforce's errors mean to the writer. Pure.

Two shapes: a request that is refused as a whole answers `[{"errorCode", "message", "fields"}]` with an HTTP
status of 400 or more; a row that is refused carries `{"statusCode", "message", "fields"}` inside a 200
(REST API Developer Guide: "Status Codes and Error Responses"; SOAP API: "StatusCode").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from stream.records import RowError


class Kind(StrEnum):
    """What is to be done. The values are the metric's label `error_class`."""

    REAUTH = "reauth"  # log in anew, replay
    QUOTA = "quota"  # every lane waits until there is budget
    REQUEST = "transient_request"  # the same payload again, later; nothing is wrong with the rows
    ROW = "transient_row"  # these rows again, a bounded number of times
    SPLIT = "split"  # these rows again, in smaller calls; alone, it is their own fault
    ORDERING = "ordering"  # the parent may not have landed: again, a bounded number of times
    CONFIGURATION = "configuration"  # the lane waits for an administrator; rows are kept
    PERMANENT = "permanent"  # dead letter


_REQUEST = {
    "INVALID_SESSION_ID": Kind.REAUTH,
    "InvalidSessionId": Kind.REAUTH,  # Bulk API spells it so, and answers 400
    "REQUEST_LIMIT_EXCEEDED": Kind.QUOTA,
    "UNKNOWN_EXCEPTION": Kind.REQUEST,
    "SERVER_UNAVAILABLE": Kind.REQUEST,
    "QUERY_TIMEOUT": Kind.REQUEST,
    "REQUEST_RUNNING_TOO_LONG": Kind.REQUEST,
    "PROCESSING_HALTED": Kind.REQUEST,
    "UNABLE_TO_LOCK_ROW": Kind.REQUEST,
    "JSON_PARSER_ERROR": Kind.SPLIT,
}
_BUSY = {408, 429}
_TOO_LARGE = {413, 414, 431}

_LOCKED = "UNABLE_TO_LOCK_ROW"

_ROW = {
    _LOCKED: Kind.ROW,
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": Kind.ROW,
    "PROCESSING_HALTED": Kind.ROW,
    "UNKNOWN_EXCEPTION": Kind.ROW,
    "SERVER_UNAVAILABLE": Kind.ROW,
    "QUERY_TIMEOUT": Kind.ROW,
    "REQUEST_RUNNING_TOO_LONG": Kind.ROW,
    "INVALID_CROSS_REFERENCE_KEY": Kind.ORDERING,
    "ENTITY_IS_DELETED": Kind.ORDERING,
    "INVALID_FIELD": Kind.CONFIGURATION,
    "INVALID_FIELD_FOR_INSERT_UPDATE": Kind.CONFIGURATION,
    "INVALID_TYPE": Kind.CONFIGURATION,
    "NOT_FOUND": Kind.CONFIGURATION,
    "INSUFFICIENT_ACCESS_OR_READONLY": Kind.CONFIGURATION,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": Kind.CONFIGURATION,
    "API_DISABLED_FOR_ORG": Kind.CONFIGURATION,
    "STORAGE_LIMIT_EXCEEDED": Kind.CONFIGURATION,
    "UNSUPPORTED_API_VERSION": Kind.CONFIGURATION,
    "REQUIRED_FIELD_MISSING": Kind.PERMANENT,
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": Kind.PERMANENT,
    "FIELD_FILTER_VALIDATION_EXCEPTION": Kind.PERMANENT,
    "FIELD_INTEGRITY_EXCEPTION": Kind.PERMANENT,
    "STRING_TOO_LONG": Kind.PERMANENT,
    "INVALID_EMAIL_ADDRESS": Kind.PERMANENT,
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": Kind.PERMANENT,
    "NUMBER_OUTSIDE_VALID_RANGE": Kind.PERMANENT,
    "MALFORMED_ID": Kind.PERMANENT,
    "INVALID_TYPE_ON_FIELD_IN_RECORD": Kind.PERMANENT,
    "DUPLICATES_DETECTED": Kind.PERMANENT,
    "DUPLICATE_EXTERNAL_ID": Kind.PERMANENT,
    "CIRCULAR_DEPENDENCY": Kind.PERMANENT,
    "JSON_PARSER_ERROR": Kind.PERMANENT,
    "TXN_SECURITY_NO_ACCESS": Kind.PERMANENT,
    "INACTIVE_OWNER_OR_USER": Kind.PERMANENT,
}

# Refused to some rows while others of the same call pass, these are about the records (sharing, an approval in
# progress), not about the integration user. See `lane_fault`.
_PER_RECORD = {"INSUFFICIENT_ACCESS_OR_READONLY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"}

_MISSING_PARENT = "Foreign key external ID"
_TWICE_IN_REQUEST = "Duplicate external id specified"

# Of several errors on one row the most binding one decides: nothing is set aside that an administrator can
# cure, and nothing is retried that cannot pass.
_BINDING = (Kind.CONFIGURATION, Kind.PERMANENT, Kind.SPLIT, Kind.ORDERING, Kind.ROW)


class RequestError(Exception):
    """A call that Salesforce refused as a whole, or that got no answer (`status` 0)."""

    def __init__(self, kind: Kind, code: str, message: str, status: int = 0) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.kind = kind
        self.code = code
        self.message = message
        self.status = status

    @property
    def suspicious(self) -> bool:
        """Salesforce itself failed on this payload (500), so one of its rows may be what breaks it."""
        return self.status == 500 or self.kind is Kind.SPLIT

    @classmethod
    def of(cls, status: int, body: bytes) -> RequestError:
        """From an answer of 300 or more. Reads all of Salesforce's shapes, and copes with none of them."""
        code, message = _told(body)
        return cls(request_kind(status, code, message), code or f"HTTP_{status}", message, status)


def _told(body: bytes) -> tuple[str, str]:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        found = re.search(rb"<exceptionCode>(\w+)</exceptionCode>", body)  # Bulk API, when it speaks XML
        return (found[1].decode() if found else ""), ""
    first = answer[0] if isinstance(answer, list) and answer else answer
    if not isinstance(first, Mapping):
        return "", ""
    code = first.get("errorCode") or first.get("exceptionCode") or first.get("error") or ""
    message = first.get("message") or first.get("exceptionMessage") or first.get("error_description") or ""
    return str(code), _without_query(str(code), str(message))


def _without_query(code: str, message: str) -> str:
    """What Salesforce quotes of a SOQL query may hold names and addresses, which are not for a log."""
    if code == "MALFORMED_QUERY":
        return "Salesforce does not understand a query of ours."
    _, quoted, reason = message.partition("ERROR at Row:")
    return reason.partition("\n")[2] if quoted else message


def request_kind(status: int, code: str, message: str = "") -> Kind:
    """The class of a refused request.

    A status that we do not know: 5xx is theirs and passes; 4xx is how we or the org are set up, so the lane
    waits and a person is called. Neither ever empties a topic into the dead letters.
    """
    if code in _REQUEST:
        return _REQUEST[code]
    if status == 401:
        return Kind.REAUTH
    if status in _TOO_LARGE:
        return Kind.SPLIT
    if status >= 500 or status in _BUSY or status == 0:
        return Kind.REQUEST
    return Kind.CONFIGURATION


def row_kind(error: RowError, external_id_field: str) -> Kind:
    """The class of a refused row.

    An unknown code is tried a bounded number of times and then set aside: Salesforce has some 500 codes, nearly
    all about the row's own data, so waiting would block its customer for nothing; and a few tries cost little.
    """
    code, message = error.code, error.message
    if _LOCKED in message:  # a trigger of a package wraps it: CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY
        return Kind.ROW
    if code == "INVALID_FIELD" and _MISSING_PARENT in message:
        return Kind.ORDERING
    if code == "DUPLICATE_VALUE":
        if _TWICE_IN_REQUEST in message:
            return Kind.SPLIT
        # Two upserts of one new external ID at once: the second finds the first's record when tried again.
        return Kind.ROW if external_id_field in message else Kind.PERMANENT
    return _ROW.get(code, Kind.ROW)


def row_error(errors: Iterable[Mapping[str, Any]], external_id_field: str) -> tuple[Kind, RowError]:
    """The deciding error of a row, of those that Salesforce lists."""
    told = [
        RowError(
            str(error.get("statusCode") or error.get("errorCode") or "UNKNOWN"),
            str(error.get("message") or ""),
            tuple(str(field) for field in error.get("fields") or ()),
        )
        for error in errors
    ] or [RowError("UNKNOWN", "Salesforce gives no reason.")]
    kinds = [(row_kind(error, external_id_field), error) for error in told]
    return min(kinds, key=lambda pair: _BINDING.index(pair[0]))


def lane_fault(kind: Kind, code: str, *, others_passed: bool) -> bool:
    """Whether a refused row stops its whole lane. If others of the same call passed, a refusal of access is
    about that record, and it is treated as a row's own."""
    return kind is Kind.CONFIGURATION and not (others_passed and code in _PER_RECORD)


def bulk_error(text: str) -> RowError:
    """`sf__Error` of a failed Bulk row: `CODE:message:Field,Field --`."""
    code, _, rest = text.partition(":")
    message, colon, fields = rest.rpartition(":")
    if not colon:
        message, fields = rest, ""
    names = fields.replace("--", " ").replace(",", " ").split()
    return RowError(code.strip() or "UNKNOWN", message.strip(), tuple(names))


# A Bulk job that fails as a whole for what its header or its object says: an administrator's matter, or ours.
_JOB_CONFIGURATION = ("InvalidBatch", "InvalidEntity", "FeatureNotEnabled", "ClientInputError")


def job_kind(message: str) -> Kind:
    """The class of a Bulk job in state Failed, from its `errorMessage`."""
    return Kind.CONFIGURATION if message.startswith(_JOB_CONFIGURATION) else Kind.REQUEST
