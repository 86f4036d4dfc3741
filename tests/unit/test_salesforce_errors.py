"""What Salesforce's errors mean."""

from __future__ import annotations

import json

import pytest

from stream.records import RowError
from stream.salesforce.errors import (
    Kind,
    RequestError,
    bulk_error,
    job_kind,
    lane_fault,
    request_kind,
    row_error,
    row_kind,
)

ID = "Stripe_Customer_Id__c"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "INVALID_SESSION_ID", Kind.REAUTH),
        (400, "InvalidSessionId", Kind.REAUTH),
        (401, "", Kind.REAUTH),
        (403, "REQUEST_LIMIT_EXCEEDED", Kind.QUOTA),
        (500, "UNKNOWN_EXCEPTION", Kind.REQUEST),
        (502, "", Kind.REQUEST),
        (503, "SERVER_UNAVAILABLE", Kind.REQUEST),
        (504, "", Kind.REQUEST),
        (429, "", Kind.REQUEST),
        (400, "QUERY_TIMEOUT", Kind.REQUEST),
        (599, "NEVER_HEARD_OF", Kind.REQUEST),
        (400, "JSON_PARSER_ERROR", Kind.SPLIT),
        (413, "", Kind.SPLIT),
        (400, "INVALID_FIELD", Kind.CONFIGURATION),
        (400, "INVALID_TYPE", Kind.CONFIGURATION),
        (404, "NOT_FOUND", Kind.CONFIGURATION),
        (403, "API_DISABLED_FOR_ORG", Kind.CONFIGURATION),
        (410, "UNSUPPORTED_API_VERSION", Kind.CONFIGURATION),
        (418, "NEVER_HEARD_OF", Kind.CONFIGURATION),
        (302, "", Kind.CONFIGURATION),
    ],
)
def test_a_refused_request(status: int, code: str, kind: Kind) -> None:
    assert request_kind(status, code) is kind


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", Kind.ROW),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "dlrs: UNABLE_TO_LOCK_ROW, unable to", Kind.ROW),
        ("ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back", Kind.ROW),
        ("DUPLICATE_VALUE", "Duplicate external id specified: cus_1", Kind.SPLIT),
        ("DUPLICATE_VALUE", f"duplicate value found: {ID} duplicates value on record with id: 001", Kind.ROW),
        ("DUPLICATE_VALUE", "duplicate value found: Vat__c duplicates value on record", Kind.PERMANENT),
        ("INVALID_FIELD", "Foreign key external ID: cus_1 not found for field X in entity Y", Kind.ORDERING),
        ("INVALID_FIELD", "No such column 'X' on sobject of type Account", Kind.CONFIGURATION),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", Kind.ORDERING),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", "", Kind.CONFIGURATION),
        ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", Kind.CONFIGURATION),
        ("REQUIRED_FIELD_MISSING", "", Kind.PERMANENT),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "", Kind.PERMANENT),
        ("DUPLICATES_DETECTED", "Use one of these records?", Kind.PERMANENT),
        ("NEVER_HEARD_OF", "", Kind.ROW),
    ],
)
def test_a_refused_row(code: str, message: str, kind: Kind) -> None:
    assert row_kind(RowError(code, message), ID) is kind


def test_of_several_errors_the_most_binding_one_decides() -> None:
    errors = [
        {"statusCode": "UNABLE_TO_LOCK_ROW", "message": "", "fields": []},
        {"statusCode": "STRING_TOO_LONG", "message": "too long", "fields": ["Name"]},
    ]
    assert row_error(errors, ID) == (Kind.PERMANENT, RowError("STRING_TOO_LONG", "too long", ("Name",)))
    assert row_error([], ID)[0] is Kind.ROW


def test_access_refused_to_some_rows_is_about_those_rows() -> None:
    code = "INSUFFICIENT_ACCESS_OR_READONLY"
    assert lane_fault(Kind.CONFIGURATION, code, others_passed=False)
    assert not lane_fault(Kind.CONFIGURATION, code, others_passed=True)
    assert lane_fault(Kind.CONFIGURATION, "STORAGE_LIMIT_EXCEEDED", others_passed=True)
    assert not lane_fault(Kind.PERMANENT, code, others_passed=False)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (json.dumps([{"errorCode": "INVALID_TYPE", "message": "no"}]), "INVALID_TYPE"),
        (json.dumps({"error": "invalid_client", "error_description": "no"}), "invalid_client"),
        (json.dumps({"exceptionCode": "InvalidSessionId", "exceptionMessage": "no"}), "InvalidSessionId"),
        ("<error><exceptionCode>InvalidSessionId</exceptionCode></error>", "InvalidSessionId"),
        ("<html>", "HTTP_400"),
        ("[]", "HTTP_400"),
        ("[7]", "HTTP_400"),
        ("", "HTTP_400"),
    ],
)
def test_every_shape_of_a_refusal_is_read(body: str, code: str) -> None:
    assert RequestError.of(400, body.encode()).code == code


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("STRING_TOO_LONG:Name: data value too large:Name --", ("Name: data value too large", ("Name",))),
        ("REQUIRED_FIELD_MISSING:Required fields are missing: [A, B]:A,B --", None),
        (
            "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access: --",
            ("unable to obtain exclusive access", ()),
        ),
        ("ODD:no tail", ("no tail", ())),
        ("ODD", ("", ())),
        ("", None),
    ],
)
def test_a_bulk_error_is_taken_apart(text: str, error: tuple[str, tuple[str, ...]] | None) -> None:
    told = bulk_error(text)
    if error is not None:
        assert (told.message, told.fields) == error
    assert told.code == (text.partition(":")[0] or "UNKNOWN")
    if "A,B" in text:
        assert told.fields == ("A", "B")


def test_a_failed_job_is_an_administrators_matter_when_it_says_so() -> None:
    assert job_kind("InvalidBatch : Field name not found : X__c") is Kind.CONFIGURATION
    assert job_kind("TooManyRetries : Tried more than 20 times") is Kind.REQUEST


def test_what_salesforce_quotes_of_a_query_is_left_out() -> None:
    quoted = (
        "\nEmail IN ('ada@x.example') AND Foo__c = 1\n                     ^\nERROR at Row:1:Column:62\n"
        "No such column 'Foo__c' on entity 'Contact'."
    )
    told = RequestError.of(400, json.dumps([{"errorCode": "INVALID_FIELD", "message": quoted}]).encode())
    assert told.message == "No such column 'Foo__c' on entity 'Contact'."
    told = RequestError.of(
        400, b'[{"errorCode":"MALFORMED_QUERY","message":"unexpected token: ada@x.example"}]'
    )
    assert "ada" not in str(told)
