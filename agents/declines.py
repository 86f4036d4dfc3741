"""Why a payment was declined, in plain words (docs.stripe.com/declines/codes)."""

from __future__ import annotations

_WORDS = {
    "approve_with_id": "the bank wants the payment to be tried again",
    "authentication_required": "the bank asks the cardholder to confirm the payment",
    "call_issuer": "the bank declined it and wants the cardholder to call",
    "card_declined": "the bank declined it and gave no reason",
    "card_not_supported": "the card does not allow this kind of purchase",
    "card_velocity_exceeded": "the card's limit is reached",
    "currency_not_supported": "the card does not allow this currency",
    "do_not_honor": "the bank declined it and gave no reason",
    "do_not_try_again": "the bank declined it and wants no further attempt",
    "duplicate_transaction": "the same payment was made shortly before",
    "expired_card": "the card has expired",
    "fraudulent": "it looked like fraud",
    "generic_decline": "the bank declined it and gave no reason",
    "highest_risk_level": "Stripe blocked it as too risky",
    "incorrect_cvc": "the security code is wrong",
    "incorrect_number": "the card number is wrong",
    "incorrect_zip": "the postal code does not match the card",
    "insufficient_funds": "there is not enough money on the account",
    "invalid_account": "the card or its account is invalid",
    "invalid_amount": "the amount is more than the card allows",
    "invalid_cvc": "the security code is wrong",
    "invalid_expiry_month": "the expiry date is wrong",
    "invalid_expiry_year": "the expiry date is wrong",
    "invalid_number": "the card number is wrong",
    "issuer_not_available": "the bank could not be reached",
    "lost_card": "the card was reported lost",
    "merchant_blacklist": "it is on the company's block list",
    "new_account_information_available": "the card has been replaced",
    "no_action_taken": "the bank declined it and gave no reason",
    "not_permitted": "the bank does not permit it",
    "pickup_card": "the card was reported lost or stolen",
    "processing_error": "something went wrong at the bank",
    "reenter_transaction": "the bank could not process it",
    "restricted_card": "the card was reported lost or stolen",
    "revocation_of_all_authorizations": "the cardholder withdrew all permissions",
    "revocation_of_authorization": "the cardholder withdrew the permission",
    "rule": "one of the company's Radar rules blocked it",
    "security_violation": "the bank declined it and gave no reason",
    "service_not_allowed": "the bank declined it and gave no reason",
    "stolen_card": "the card was reported stolen",
    "stop_payment_order": "the cardholder stopped the payment",
    "transaction_not_allowed": "the bank does not allow it",
    "try_again_later": "the bank declined it for now",
    "withdrawal_count_limit_exceeded": "the card's limit is reached",
}


def in_words(code: str) -> str:
    """The reason behind a decline code; the code itself, readable, when it is a new one."""
    return _WORDS.get(code) or code.replace("_", " ")
