"""Payment intents, charges, refunds, disputes and early fraud warnings."""

from __future__ import annotations

from stream.sandbox.stripe.objects import Charge, Dispute, FraudWarning, PaymentIntent, PaymentMethod, Refund
from stream.sandbox.stripe.render.customer import blank_address
from stream.sandbox.stripe.render.form import BASIL, CLOVER, DAHLIA, Y2022_11, Form, Json, listed, named

_DECLINED = {
    "expired_card": "Your card has expired.",
    "insufficient_funds": "Your card has insufficient funds.",
}
# docs.stripe.com/disputes/categories: Visa's codes.
_NETWORK_REASONS = {"fraudulent": "10.4", "product_not_received": "13.1", "subscription_canceled": "13.2"}


def intent(it: PaymentIntent, form: Form) -> Json:
    """docs.stripe.com/api/payment_intents/object. Until 2022-11-15 there was also a list `charges`: it is
    empty here, and `render.thing` fills it where the charges are at hand."""
    fields: Json = {
        "amount": it.amount,
        "amount_capturable": it.amount if it.status == "requires_capture" else 0,
        "amount_details": {"tip": {}},
        "amount_received": _received(it),
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": "void_invoice" if it.status == "canceled" else None,
        "capture_method": "automatic"
        if it.captured is None and it.status != "requires_capture"
        else "manual",
        "client_secret": it.secret,
        "confirmation_method": "automatic",
        "created": it.created,
        "currency": it.currency,
        "customer": it.customer,
        "description": "Subscription update" if it.invoice else None,
        "last_payment_error": _error(it),
        "latest_charge": it.latest_charge,
        "livemode": form.livemode,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": it.payment_method,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": "off_session" if it.invoice else None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": it.status,
        "transfer_data": None,
        "transfer_group": None,
    }
    if form.version < Y2022_11:
        fields["charges"] = listed([], f"/v1/charges?payment_intent={it.id}")
    if form.version < BASIL:
        fields["invoice"] = it.invoice
    if form.version >= CLOVER:
        fields |= {"customer_account": None, "excluded_payment_method_types": None}
    if form.version >= DAHLIA:
        fields |= {"allowed_payment_method_types": None, "managed_payments": None}
    return named("payment_intent", it.id, fields)


def charge(it: Charge, form: Form) -> Json:
    """docs.stripe.com/api/charges/object. Its refunds are within it until 2022-11-15, its invoice until basil."""
    paid = it.status == "succeeded"
    fields: Json = {
        "amount": it.amount,
        "amount_captured": it.taken,
        "amount_refunded": it.amount_refunded,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": _transaction(it.id) if paid else None,
        "billing_details": {
            "address": blank_address(it.address),
            "email": it.email,
            "name": it.name,
            "phone": it.phone,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "EXAMPLE COMPANY",
        "captured": paid and (it.amount_captured is None or it.amount_captured > 0),
        "created": it.created,
        "currency": it.currency,
        "customer": it.customer,
        "description": "Subscription update" if it.invoice else None,
        "disputed": it.dispute is not None,
        "failure_balance_transaction": None,
        "failure_code": None if paid else _code(it.decline_code),
        "failure_message": None if paid else _told(it.decline_code),
        "fraud_details": {},
        "livemode": form.livemode,
        "metadata": {},
        "on_behalf_of": None,
        "outcome": _outcome(it),
        "paid": paid,
        "payment_intent": it.payment_intent,
        "payment_method": it.payment_method.id,
        "payment_method_details": {"card": _card(it.payment_method), "type": "card"},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": f"https://pay.stripe.com/receipts/{it.id}" if paid else None,
        "refunded": it.amount_refunded >= it.amount,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": it.status,
        "transfer_data": None,
        "transfer_group": None,
    }
    if form.version < BASIL:
        fields |= {"destination": None, "dispute": it.dispute, "invoice": it.invoice, "order": None}
    if form.version < Y2022_11:
        fields["refunds"] = refunds(it, form)
    return named("charge", it.id, fields)


def refunds(it: Charge, form: Form) -> Json:
    """A charge's refunds, newest first."""
    return listed([refund(given, form) for given in reversed(it.refunds)], f"/v1/charges/{it.id}/refunds")


def refund(it: Refund, form: Form) -> Json:
    """docs.stripe.com/api/refunds/object. It names its customer since dahlia only."""
    fields: Json = {
        "amount": it.amount,
        "balance_transaction": _transaction(it.id),
        "charge": it.charge,
        "created": it.created,
        "currency": it.currency,
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": {},
        "payment_intent": it.payment_intent,
        "reason": it.reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": it.status,
        "transfer_reversal": None,
    }
    if form.version >= DAHLIA:
        fields |= {"customer": it.customer, "customer_account": None, "payment_method": None}
    return named("refund", it.id, fields)


def fraud_warning(it: FraudWarning, form: Form) -> Json:
    """docs.stripe.com/api/radar/early_fraud_warnings/object. It names its charge, and no customer."""
    fields: Json = {
        "actionable": it.actionable,
        "charge": it.charge,
        "created": it.created,
        "fraud_type": it.kind,
        "livemode": form.livemode,
        "payment_intent": it.payment_intent,
    }
    return named("radar.early_fraud_warning", it.id, fields)


def dispute(it: Dispute, form: Form) -> Json:
    """docs.stripe.com/api/disputes/object. No version names the customer: only the charge does."""
    movements = [_withdrawal(it, -it.amount, "dispute")]
    if not it.funds_withdrawn:
        movements.append(_withdrawal(it, it.amount, "dispute_reversal"))
    fields: Json = {
        "amount": it.amount,
        "balance_transactions": movements,
        "charge": it.charge,
        "created": it.created,
        "currency": it.currency,
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(_EVIDENCE) | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": it.due_by,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": form.livemode,
        "metadata": {},
        "payment_intent": it.payment_intent,
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "case_type": "chargeback",
                "network": "visa",
                "network_reason_code": _NETWORK_REASONS.get(it.reason, "13.3"),
            },
            "type": "card",
        },
        "reason": it.reason,
        "status": it.status,
    }
    if form.version < BASIL:
        fields["balance_transaction"] = movements[0]["id"]
    return named("dispute", it.id, fields)


_EVIDENCE = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
    "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation",
    "duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt", "refund_policy",
    "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation",
    "shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation",
    "shipping_tracking_number", "uncategorized_file", "uncategorized_text",
)  # fmt: skip


def _withdrawal(it: Dispute, amount: int, category: str) -> Json:
    """What a dispute takes from the balance, or brings back to it."""
    suffix = "rev" if amount > 0 else ""
    fields: Json = {
        "amount": amount,
        "created": it.created,
        "currency": it.currency,
        "description": f"Chargeback withdrawal for {it.charge}" if amount < 0 else "Chargeback reversal",
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": category,
        "source": it.id,
        "status": "available",
        "type": "adjustment",
    }
    return named("balance_transaction", _transaction(it.id) + suffix, fields)


def _received(it: PaymentIntent) -> int:
    if it.status != "succeeded":
        return 0
    return it.amount if it.captured is None else it.captured


def _error(it: PaymentIntent) -> Json | None:
    """docs.stripe.com/api/errors, as it stands on an intent whose last attempt failed."""
    if it.decline_code is None:
        return None
    return {
        "charge": it.latest_charge,
        "code": _code(it.decline_code),
        "decline_code": it.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{_code(it.decline_code).replace('_', '-')}",
        "message": _told(it.decline_code),
        "type": "card_error",
    }


def _code(decline: str | None) -> str:
    """Stripe's error code for a decline: most are one."""
    return "expired_card" if decline == "expired_card" else "card_declined"


def _told(decline: str | None) -> str:
    return _DECLINED.get(decline or "", "Your card was declined.")


def _outcome(it: Charge) -> Json:
    paid = it.status == "succeeded"
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network" if paid else "declined_by_network",
        "reason": it.decline_code,
        "risk_level": "normal",
        "seller_message": "Payment complete." if paid else "The bank did not accept the payment.",
        "type": "authorized" if paid else "issuer_declined",
    }


def _card(it: PaymentMethod) -> Json:
    return {
        "brand": it.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": None},
        "country": it.country,
        "exp_month": it.exp_month,
        "exp_year": it.exp_year,
        "fingerprint": it.fingerprint,
        "funding": "credit",
        "installments": None,
        "last4": it.last4,
        "mandate": None,
        "network": it.brand,
        "three_d_secure": None,
        "wallet": None,
    }


def _transaction(id_: str) -> str:
    return f"txn_{id_.partition('_')[2]}"
