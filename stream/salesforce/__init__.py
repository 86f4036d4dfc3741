"""Salesforce's side: the writer stage and what it knows of Salesforce's API."""
