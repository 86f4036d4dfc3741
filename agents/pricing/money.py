"""Exact amounts of money, and how they are written.

Amounts are in the currency's minor unit, as Stripe's API has it, and are rounded only when shown. Which currencies
have none or three decimals: docs.stripe.com/currencies.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec

# A whole number where it is one: with a Fraction the same arithmetic takes ten times as long. Never to be divided
# by `/` without a Fraction on one side, which mypy holds.
Exact = int | Fraction

ZERO_DECIMAL = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf")
)
THREE_DECIMAL = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
# They have no decimals, but the API counts them in hundredths, as it did when they had.
HUNDREDTHS_OF_WHOLE = frozenset({"isk", "ugx"})


def decimals(currency: str) -> int:
    """How many decimals an amount is written with."""
    if currency in ZERO_DECIMAL or currency in HUNDREDTHS_OF_WHOLE:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def minor_units(currency: str) -> int:
    """How many of the API's units make one of the currency."""
    if currency in HUNDREDTHS_OF_WHOLE:
        return 100
    return int(10 ** decimals(currency))


def parsed(text: str) -> Exact:
    """A decimal text of Stripe's."""
    return int(text) if text.isdecimal() else Fraction(text)


class Money(msgspec.Struct, frozen=True):
    """An exact amount, in (fractions of) minor units of `currency`, Stripe's three lower-case letters."""

    minor: Exact
    currency: str

    @property
    def exact(self) -> Fraction:
        """In units of the currency: dollars, not cents."""
        return Fraction(self.minor.numerator, self.minor.denominator * minor_units(self.currency))

    @property
    def rounded(self) -> Decimal:
        """In units of the currency, to its decimals, half away from zero: what goes to Salesforce."""
        return self._to(decimals(self.currency))

    @property
    def text(self) -> str:
        """For a person: `37.50 USD`; `≈` before what does not end within four more decimals."""
        places, whole = decimals(self.currency), self.minor.denominator * minor_units(self.currency)
        for more in range(places, places + 5):
            if self.minor.numerator * 10**more % whole == 0:
                return f"{self._to(more):,} {self.currency.upper()}"
        return f"≈ {self._to(places + 2):,} {self.currency.upper()}"

    @property
    def equals(self) -> str:
        """For a person, as a result: `= 37.50 USD`, `≈ 15.8333 USD`."""
        return self.text if self.text.startswith("≈") else f"= {self.text}"

    def __add__(self, other: Money) -> Money:
        """Raises ValueError for another currency: those are never summed."""
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} cannot be summed")
        return Money(self.minor + other.minor, self.currency)

    def __mul__(self, factor: Exact) -> Money:
        return Money(self.minor * factor, self.currency)

    def _to(self, places: int) -> Decimal:
        """In units of the currency, to so many places, half away from zero."""
        parts, whole = self.minor.numerator * 10**places, self.minor.denominator * minor_units(self.currency)
        half_up = (2 * abs(parts) + whole) // (2 * whole)
        return Decimal(half_up if parts >= 0 else -half_up).scaleb(-places)
