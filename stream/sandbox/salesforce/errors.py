"""How Salesforce says no: to a row, or to a whole request.

The two differ on the wire. A row of a Collections answer has `statusCode`, a request `errorCode`
(REST API Developer Guide: "sObject Collections", "Status Codes and Error Responses").
"""

from __future__ import annotations

from typing import Any


class RowError(Exception):
    """One row was refused. `fields` are the fields at fault, as far as Salesforce names them."""

    def __init__(self, code: str, message: str, *fields: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = list(fields)

    def as_row(self) -> dict[str, Any]:
        """An entry of `errors` in the result of a row."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields}

    def as_cell(self) -> str:
        """The cell `sf__Error` of a Bulk API 2.0 result."""
        return f"{self.code}:{self.message}:{', '.join(self.fields)} --"


class ApiError(Exception):
    """A whole request was refused, with an HTTP status."""

    def __init__(self, status: int, code: str, message: str, *fields: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = list(fields)

    @classmethod
    def of_row(cls, error: RowError) -> ApiError:
        """A refused row as the answer to a request about that row alone."""
        missing = error.code in ("NOT_FOUND", "ENTITY_IS_DELETED")
        return cls(404 if missing else 400, error.code, error.message, *error.fields)

    def as_body(self) -> list[dict[str, Any]]:
        """The body of the answer."""
        told: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        return [told | {"fields": self.fields} if self.fields else told]


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    """404, in Salesforce's words."""
    return ApiError(404, "NOT_FOUND", message)
