"""Stripe's webhook signature: docs.stripe.com/webhooks, "Verify webhook signatures manually".

`Stripe-Signature: t=<epoch seconds>,v1=<hex>[,v1=<hex>…]`, where `v1` is the HMAC-SHA256 of `<t>.<raw body>`
under the whole `whsec_…` text. Other schemes (`v0`) are ignored, as Stripe tells receivers to do.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Literal

HEADER = "Stripe-Signature"

# Epoch seconds have ten digits until the year 2286. More are no time, and not worth turning into a number.
_LONGEST_TIME = 12


class SignatureError(Exception):
    """A request that is not, or no longer, to be believed. The message says what to look at."""

    def __init__(self, reason: Literal["bad_signature", "stale"], message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Keys:
    """The secrets of every endpoint that sends here: one per endpoint and mode, two while one is rolled.

    `tolerance` (seconds) is how far a signature's time may lie from ours. Stripe signs every retry anew, so an
    old time means a replayed request. Stripe's own libraries leave the future open; here the same tolerance
    holds for it, since Stripe's clock is right: a time ahead of ours by minutes says that ours is wrong, and
    then the check of the past is worth nothing.

    Raises ValueError without a secret or with a blank one, for a blank key signs whatever anyone sends.
    """

    def __init__(self, secrets: Iterable[str], tolerance: int = 300) -> None:
        texts = [secret.strip() for secret in secrets]
        if not texts:
            raise ValueError("no secret is configured")
        if not all(texts):
            raise ValueError("one of the secrets is blank")
        self._keys = [text.encode() for text in texts]
        self._tolerance = tolerance

    def verify(self, header: bytes | None, body: bytes, now: float) -> None:
        """Returns if any secret made any of the header's `v1` over these very bytes. Raises SignatureError."""
        if not header:
            raise SignatureError(
                "bad_signature", f"The {HEADER} header is missing. Send Stripe's webhooks here unchanged."
            )
        time, given = _parse(header)
        signed = b"%s.%s" % (time, body)
        # No early end: how long this takes tells nothing about which secret or signature was nearly right.
        matches = 0
        for key in self._keys:
            made = hmac.digest(key, signed, "sha256").hex().encode()
            for signature in given:
                matches += hmac.compare_digest(made, signature)
        if not matches:
            raise SignatureError(
                "bad_signature",
                "No configured secret made this signature over this body. Compare STRIPE_WEBHOOK_SECRETS with "
                "the signing secret of the endpoint, for live and test mode, and let no proxy change the body.",
            )
        age = now - int(time)
        if age > self._tolerance:
            raise SignatureError(
                "stale",
                f"The signature is {age:.0f} s old and {self._tolerance} s are allowed. Stripe signs each "
                "attempt anew: send the event again from Stripe, and check this machine's clock.",
            )
        if -age > self._tolerance:
            raise SignatureError(
                "stale", f"The signature's time is {-age:.0f} s ahead of this machine's clock. Set the clock."
            )


def _parse(header: bytes) -> tuple[bytes, list[bytes]]:
    """The header's first `t` and all its `v1`."""
    time = b""
    given: list[bytes] = []
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"v1":
            given.append(value)
        elif name == b"t" and not time:
            time = value
    # bytes.isdigit knows ASCII digits only: no sign, space, underscore or other script gets to int().
    if not time.isdigit() or len(time) > _LONGEST_TIME:
        raise SignatureError("bad_signature", f"The {HEADER} header has no time `t=<epoch seconds>`.")
    if not given:
        raise SignatureError("bad_signature", f"The {HEADER} header has no `v1` signature.")
    return time, given


def sign(body: bytes, secret: str, at: int) -> str:
    """The header that Stripe would send with a body at a time (epoch seconds). For simulators and tests."""
    return f"t={at},v1={hmac.digest(secret.encode(), b'%d.%s' % (at, body), 'sha256').hex()}"
