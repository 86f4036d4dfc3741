"""The fields of Salesforce's records, by default, and who has the say over one."""

from __future__ import annotations

from typing import Literal

# What Salesforce's records get, by default. Left: Salesforce field. Right: one of the object's sources, as
# `agents.mapping` lists them.
DEFAULT_MAPPING: dict[str, dict[str, str]] = {
    "Account": {
        "Name": "account_name",
        "Phone": "phone",
        "BillingStreet": "street",
        "BillingCity": "city",
        "BillingState": "state",
        "BillingPostalCode": "postal_code",
        "BillingCountry": "country",
        "Stripe_Billing_Email__c": "email",
        "Stripe_Currency__c": "currency",
        "Stripe_Delinquent__c": "delinquent",
        "Stripe_Deleted__c": "deleted",
        "Stripe_Plan__c": "plan",
        "Stripe_Tier__c": "tier",
        "Stripe_Interval__c": "interval",
        "Stripe_Seats__c": "seats",
        "Stripe_Status__c": "subscription_status",
        "Stripe_MRR__c": "mrr",
        "Stripe_ARR__c": "arr",
        "Stripe_Trial_End__c": "trial_end",
        "Stripe_Next_Renewal__c": "next_renewal",
        "Stripe_Cancels_At__c": "cancels_at",
        "Stripe_Customer_Status__c": "customer_status",
        "Stripe_Churned_On__c": "churned_on",
        "Stripe_Churn_Reason__c": "churn_reason",
        "Stripe_Lost_MRR__c": "lost_mrr",
        "Stripe_Lifetime_Value__c": "lifetime_value",
        "Stripe_Lifetime_Values__c": "lifetime_values",
        "Stripe_Last_Payment_Date__c": "last_payment_date",
        "Stripe_Last_Payment_Amount__c": "last_payment_amount",
        "Stripe_At_Risk__c": "at_risk",
        "Stripe_At_Risk_Reason__c": "at_risk_reason",
        "Stripe_Amount_Due__c": "amount_due",
        "Stripe_Attempt_Count__c": "attempt_count",
        "Stripe_Next_Attempt__c": "next_attempt",
    },
    "Contact": {
        "FirstName": "first_name",
        "LastName": "last_name",
        "Email": "email",
        "Phone": "phone",
        "MailingStreet": "street",
        "MailingCity": "city",
        "MailingState": "state",
        "MailingPostalCode": "postal_code",
        "MailingCountry": "country",
        "Stripe_Currency__c": "currency",
        "Stripe_Delinquent__c": "delinquent",
        "Stripe_Deleted__c": "deleted",
    },
    "Opportunity": {
        "Name": "name",
        "StageName": "stage",
        "CloseDate": "close_date",
        "Amount": "amount",
        "Type": "type",
        "Stripe_Movement__c": "movement",
        "Stripe_Plan__c": "plan",
        "Stripe_Interval__c": "interval",
        "Stripe_Currency__c": "currency",
        "Stripe_MRR__c": "mrr",
        "Stripe_ARR__c": "arr",
        "Stripe_Subscription_Id__c": "subscription",
    },
    "Task": {
        "Subject": "subject",
        "Status": "status",
        "Priority": "priority",
        "ActivityDate": "date",
        "Description": "description",
    },
    "Case": {
        "Subject": "subject",
        "Status": "status",
        "Priority": "priority",
        "Origin": "origin",
        "Description": "description",
    },
}

# Whether Stripe has the say over a field always, only as long as the field is empty, or never.
Policy = Literal["always", "if-empty", "never"]

# The External ID field on Account and Contact: unique and case-sensitive, since `cus_A` is not `cus_a`.
CUSTOMER_ID_FIELD = "Stripe_Customer_Id__c"
# The External ID field on every other object.
STRIPE_ID_FIELD = "Stripe_Id__c"
