"""Every event type of Stripe's API 2026-08-26, by the object it carries and by where its routing key is.

A line is `object prefix: last parts of the types`; `=` stands for a prefix that is the object's own name.
"""

from __future__ import annotations

# The object names its customer.
CUSTOMER = """
bank_account account.external_account: created deleted updated
bank_account customer.source: created deleted updated
billing.alert_triggered billing.alert: triggered
billing.credit_grant =: created updated
billing_portal.session =: created
cash_balance =: funds_available
charge =: captured expired failed pending refunded succeeded updated
refund charge.refund: updated
refund =: created failed updated
checkout.session =: async_payment_failed async_payment_succeeded completed expired
credit_note =: created updated voided
discount customer.discount: created deleted updated
card customer.source: expiring
subscription customer.subscription: collection_paused collection_resumed created custom_event
    deleted paused pending_update_applied pending_update_expired price_migration_failed resumed
    trial_will_end updated
tax_id customer.tax_id: created deleted updated
customer_cash_balance_transaction =: created
entitlements.active_entitlement_summary =: updated
invoice =: created deleted finalization_failed finalized marked_uncollectible overdue overpaid paid
    payment_action_required payment_attempt_required payment_failed payment_succeeded sent upcoming
    updated voided will_be_due
invoiceitem =: created deleted
payment_intent =: amount_capturable_updated canceled created partially_funded payment_failed
    processing requires_action succeeded
payment_method =: attached automatically_updated updated
promotion_code =: created updated
quote =: accept_failed accepted accepting canceled created draft finalized reestimate_failed
    reestimated stale
setup_intent =: canceled created requires_action setup_failed succeeded
source =: canceled chargeable failed refund_attributes_required
subscription_schedule =: aborted canceled completed created expiring price_migration_failed released
    updated
treasury.outbound_payment =: canceled created expected_arrival_date_updated failed posted returned
    tracking_details_updated
"""

# Only `previous_attributes` still names it.
PREVIOUS = """
payment_method =: detached
"""

# The object is its own key: a customer, or one that has no customer or only through another object.
OWN = """
application account.application: authorized deauthorized
account =: updated
account_notice =: created updated
application_fee =: created refunded
fee_refund application_fee.refund: updated
billing.credit_balance_transaction =: created
billing.meter =: created deactivated reactivated updated
billing_portal.configuration =: created updated
capability =: updated
capital.financing_offer =: accepted canceled created expired fully_repaid paid_out rejected
    replacement_created
capital.financing_transaction =: created
dispute charge.dispute: closed created funds_reinstated funds_withdrawn updated
climate.order =: canceled created delayed delivered product_substituted
climate.product =: created pricing_updated
coupon =: created deleted updated
customer =: created deleted updated
file =: created
financial_connections.account =: account_numbers_updated created deactivated disconnected
    expected_deactivation_date_updated reactivated refreshed_balance refreshed_inferred_balances
    refreshed_ownership refreshed_transactions supported_payment_method_types_updated
    upcoming_account_number_expiry upcoming_deactivation
financial_connections.authorization =: expected_deactivation_date_updated upcoming_deactivation
financial_connections.session =: updated
fx_quote =: expired
identity.verification_session =: canceled created processing redacted requires_input verified
invoice_payment invoice.payment: overpaid
invoice_payment =: detached paid
issuing.authorization issuing_authorization: created request updated
issuing.card issuing_card: created updated
issuing.cardholder issuing_cardholder: created updated
issuing.dispute issuing_dispute: closed created funds_reinstated funds_rescinded submitted updated
issuing.dispute_settlement_detail issuing_dispute_settlement_detail: created updated
issuing.fraud_liability_debit issuing_fraud_liability_debit: created
issuing.personalization_design issuing_personalization_design: activated deactivated rejected
    updated
issuing.settlement issuing_settlement: created updated
issuing.token issuing_token: created updated
issuing.transaction issuing_transaction: created purchase_details_receipt_updated updated
mandate =: updated
payment_link =: created updated
payout =: canceled created failed paid reconciliation_completed updated
person =: created deleted updated
plan =: created deleted updated
price =: created deleted updated
privacy.redaction_job =: canceled created ready succeeded validation_error
product =: created deleted updated
radar.early_fraud_warning =: created updated
reporting.report_run =: failed succeeded
reporting.report_type =: updated
reserve.hold =: created updated
reserve.plan =: created disabled expired updated
reserve.release =: created
review =: closed opened
scheduled_query_run sigma.scheduled_query_run: created
source_mandate_notification source: mandate_notification
source_transaction source.transaction: created updated
tax.form =: updated
tax_rate =: created updated
terminal.reader =: action_failed action_succeeded action_updated
test_helpers.test_clock =: advancing created deleted internal_failure ready
topup =: canceled created failed reversed succeeded
transfer =: created reversed updated
treasury.credit_reversal =: created posted
treasury.debit_reversal =: completed created initial_credit_granted
treasury.financial_account =: closed created features_status_updated
treasury.inbound_transfer =: canceled created failed succeeded
treasury.outbound_transfer =: canceled created expected_arrival_date_updated failed posted returned
    tracking_details_updated
treasury.received_credit =: created failed succeeded
treasury.received_debit =: created
"""

# The object has neither a customer nor an ID.
NONE = """
balance =: available
balance_settings =: updated
tax.settings =: updated
"""


def types(table: str) -> list[tuple[str, str]]:
    """Pairs of event type and object type."""
    pairs = []
    for line in table.replace("\n    ", " ").strip().splitlines():
        name, _, actions = line.partition(": ")
        object_, prefix = name.split()
        prefix = object_ if prefix == "=" else prefix
        pairs += [(f"{prefix}.{action}", object_) for action in actions.split()]
    return pairs
