"""How the local Salesforce behaves. `Identity` is fixed for a run; `Options` can be changed while it runs."""

from __future__ import annotations

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """Who may log in. `jwt_public_key` is PEM; without it the JWT bearer login is off. `audiences` are taken
    in a JWT beside the address that is called."""

    client_id: str = "sandbox"
    client_secret: str = "sandbox"  # noqa: S105  it guards nothing but a sandbox on loopback
    username: str = "integration@sandbox.example"
    jwt_public_key: str | None = None
    audiences: tuple[str, ...] = ("https://login.salesforce.com", "https://test.salesforce.com")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set on the command line and by `PATCH /sandbox/options`.

    The limits are those of Enterprise Edition (API Request Limits); the waits are short where Salesforce's are
    long, so that tests end: a lock is waited for about 10 s there, and a Bulk job takes 3 to 15 s.
    """

    seed: int = 0
    daily_limit: int = 100_000
    daily_bulk_batches: int = 15_000
    token_seconds: float = 7200.0
    token_calls: int = 0
    latency_seconds: float = 0.0
    lock_wait_seconds: float = 0.5
    bulk_delay_seconds: float = 0.1
    query_page_rows: int = 2000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")

    def changed(self, patch: object) -> Options:
        """These options with some of them changed. Raises msgspec.ValidationError."""
        if not isinstance(patch, dict):
            raise msgspec.ValidationError("options are an object")
        return msgspec.convert(msgspec.structs.asdict(self) | patch, Options)


HELP = {
    "seed": "decides the order of Bulk results",
    "daily_limit": "API calls in 24 hours",
    "daily_bulk_batches": "Bulk batches of 10,000 rows in 24 hours",
    "token_seconds": "a token lives this long",
    "token_calls": "a token lives for this many calls; 0 is without end",
    "latency_seconds": "every call takes at least this long, and holds its locks meanwhile",
    "lock_wait_seconds": "a row waits this long for a lock, then UNABLE_TO_LOCK_ROW",
    "bulk_delay_seconds": "a Bulk job waits this long before it is worked on",
    "query_page_rows": "rows on one page of a query's answer",
}
