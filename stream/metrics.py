"""Every metric that Revstream exports, and the internal port that serves them.

Names follow Prometheus' practices (base units, `_total` for counters, timestamps instead of ages).
One process is one scrape target; label values come from closed lists, never from Stripe or Salesforce IDs.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, Info, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

# A bound that an alert asks for has to be a bucket: 2 s for an answer, 60 s and 900 s for the whole way.
HTTP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 2.5, 5, 10)
END_TO_END_BUCKETS = (0.25, 0.5, 1, 2, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21600)
ROWS_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

BUILD = Info("revstream_build", "Version of this process.")

# Gateway
HTTP_REQUESTS = Counter("revstream_http_requests_total", "Webhook requests by status code.", ["code"])
HTTP_DURATION = Histogram(
    "revstream_http_request_duration_seconds", "Webhook request time, until the answer.", buckets=HTTP_BUCKETS
)
HTTP_IN_PROGRESS = Gauge("revstream_http_requests_in_progress", "Webhook requests being handled.")
WEBHOOKS_RECEIVED = Counter(
    "revstream_webhook_received_total", "Events kept in Kafka, by Stripe's event family.", ["family"]
)
WEBHOOKS_REJECTED = Counter(
    "revstream_webhook_rejected_total", "Requests refused and not kept, by reason.", ["reason"]
)
PRODUCE_DURATION = Histogram(
    "revstream_kafka_produce_duration_seconds", "From produce to Kafka's ack.", buckets=HTTP_BUCKETS
)
PRODUCE_FAILURES = Counter("revstream_kafka_produce_failures_total", "Produces without an ack.", ["reason"])

# Lag, measured by an admin client that is independent of the consumer it watches
LAG_RECORDS = Gauge(
    "revstream_consumer_lag_records", "Records not yet committed.", ["group", "topic", "partition"]
)
LAG_SECONDS = Gauge(
    "revstream_consumer_lag_seconds",
    "Age of the first record not yet committed, by whether it is of a replay; 0 when caught up.",
    ["group", "topic", "partition", "phase"],
)

# Projector
EVENTS_PROCESSED = Counter(
    "revstream_events_processed_total",
    "Stripe events by what became of them.",
    ["outcome", "reason", "phase"],
)
CHUNK_RECORDS = Histogram(
    "revstream_chunk_records", "Records handed to the projector at once.", buckets=ROWS_BUCKETS
)
CHUNK_DURATION = Histogram(
    "revstream_chunk_duration_seconds", "Time to project and send one chunk.", buckets=HTTP_BUCKETS
)
WRITES_EMITTED = Counter(
    "revstream_writes_emitted_total", "Desired records sent to the writer.", ["object", "phase"]
)
LAST_PROCESSED = Gauge(
    "revstream_last_processed_timestamp_seconds", "When the stage last finished a batch.", ["stage"]
)
TABLE_KEYS = Gauge("revstream_table_keys", "Customers in a table, of this process' partitions.", ["table"])
CHANGELOG_RECORDS = Counter("revstream_changelog_records_total", "Changelog records sent.", ["table"])
RECOVERY_REMAINING = Gauge(
    "revstream_recovery_remaining_records", "Changelog records still to be read at start.", ["table"]
)
REBALANCES = Counter("revstream_rebalances_total", "Partition assignments received.", ["stage"])
ORDER_AMBIGUOUS = Counter(
    "revstream_order_ambiguous_total", "Same-second events whose order only a fetch could tell.", ["resolved"]
)

# Writer
WINDOW_ROWS = Histogram("revstream_window_rows", "Rows in one window after coalescing.", buckets=ROWS_BUCKETS)
ROWS = Counter("revstream_salesforce_rows_total", "Rows by outcome.", ["object", "outcome", "phase"])
ROW_ERRORS = Counter("revstream_salesforce_row_errors_total", "Refused rows by error class.", ["error_class"])
RETRIES = Counter("revstream_salesforce_retries_total", "Rows or requests tried again.", ["reason"])
SALESFORCE_REQUESTS = Counter(
    "revstream_salesforce_requests_total", "API calls by operation and status.", ["operation", "code"]
)
SALESFORCE_DURATION = Histogram(
    "revstream_salesforce_request_duration_seconds",
    "API call time.",
    ["operation"],
    buckets=END_TO_END_BUCKETS,
)
API_LIMIT = Gauge("revstream_salesforce_api_limit", "Calls the org may make in 24 hours.")
API_USED = Gauge("revstream_salesforce_api_used", "Calls used in the last 24 hours, by everyone.")
LANE_PAUSED = Gauge(
    "revstream_lane_paused", "1 while writes of an object are held back.", ["object", "reason"]
)
END_TO_END = Histogram(
    "revstream_end_to_end_duration_seconds",
    "From the gateway's receipt to Salesforce's confirmation; not of replays.",
    buckets=END_TO_END_BUCKETS,
)

# Notifier
NOTICES = Counter(
    "revstream_notices_total", "Notices by channel and by what became of them there.", ["channel", "outcome"]
)
NOTICES_WAITING = Gauge("revstream_notices_waiting", "Notices that wait for a channel.", ["channel"])

# Everywhere
DEAD_LETTERS = Counter(
    "revstream_dead_letters_total", "Records set aside, by stage and reason.", ["stage", "reason"]
)
DEAD_LETTER_RECORDS = Gauge(
    "revstream_dead_letter_records", "Dead letters that Kafka still keeps, of all stages."
)
