"""The overview dashboard, in the order of the way through: `python -m deploy.grafana.overview` writes its JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards" / "overview.json"

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 8, 7  # of a panel; a row of the page is 24 wide

Panel = tuple[str, str, str, list[tuple[str, str]]]  # title, description, unit, (query, legend)

ON = 'job=~"$job", instance=~"$instance"'


def rate(metric: str, by: str = "", more: str = "") -> str:
    """Per second, summed over processes."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate(revstream_{metric}{{{ON}{more}}}[$__rate_interval]))"


def quantile(q: float, metric: str) -> str:
    """A quantile of a histogram over all processes."""
    return f"histogram_quantile({q}, {rate(metric + '_bucket', 'le')})"


def quantiles(metric: str) -> list[tuple[str, str]]:
    return [(quantile(0.5, metric), "p50"), (quantile(0.99, metric), "p99")]


def highest(metric: str, by: str = "", more: str = "") -> str:
    """The highest of all processes, where several tell of the same thing."""
    return f"max{f' by ({by})' if by else ''} (revstream_{metric}{{{ON}{more}}})"


ROWS: list[tuple[str, list[Panel]]] = [
    (
        "Does it work",
        [
            (
                "Webhook to Salesforce",
                "From the gateway's receipt to Salesforce's confirmation. The aim: 99 % within 60 s.",
                "s",
                quantiles("end_to_end_duration_seconds"),
            ),
            (
                "Behind",
                "Age of the oldest record that a group has not committed, by whether it is of a replay.",
                "s",
                [(highest("consumer_lag_seconds", "group, phase"), "{{group}} {{phase}}")],
            ),
            (
                "Processes",
                "Processes of each stage that answer Prometheus, by version.",
                "short",
                [
                    (f"count by (stage) (up{{{ON}}} == 1)", "{{stage}}"),
                    (f"count by (version) (revstream_build_info{{{ON}}})", "version {{version}}"),
                ],
            ),
        ],
    ),
    (
        "Stripe to gateway",
        [
            (
                "Requests",
                "Webhook requests by status code.",
                "reqps",
                [(rate("http_requests_total", "code"), "{{code}}")],
            ),
            (
                "Answer time",
                "Until the answer, which waits for Kafka's acknowledgement.",
                "s",
                quantiles("http_request_duration_seconds"),
            ),
            (
                "In progress",
                "Requests being handled; too many are refused with 503.",
                "short",
                [(f"sum (revstream_http_requests_in_progress{{{ON}}})", "requests")],
            ),
            (
                "Events kept",
                "Events kept in Kafka, by Stripe's family.",
                "ops",
                [(rate("webhook_received_total", "family"), "{{family}}")],
            ),
            (
                "Refused",
                "Requests refused and not kept, by reason.",
                "reqps",
                [(rate("webhook_rejected_total", "reason"), "{{reason}}")],
            ),
        ],
    ),
    (
        "Kafka",
        [
            (
                "Acknowledgement",
                "From produce to Kafka's acknowledgement.",
                "s",
                quantiles("kafka_produce_duration_seconds"),
            ),
            (
                "Not acknowledged",
                "Events without an acknowledgement: Stripe sends them again.",
                "ops",
                [(rate("kafka_produce_failures_total", "reason"), "{{reason}}")],
            ),
            (
                "Waiting records",
                "Records that a group has not committed.",
                "short",
                [
                    (
                        "sum by (group, topic) (max by (group, topic, partition) "
                        f"(revstream_consumer_lag_records{{{ON}}}))",
                        "{{group}} {{topic}}",
                    )
                ],
            ),
            (
                "Rebalances",
                "Assignments of partitions; each pauses its group.",
                "short",
                [(rate("rebalances_total", "stage"), "{{stage}}")],
            ),
        ],
    ),
    (
        "Projector",
        [
            (
                "Events",
                "Stripe's events by what became of them, live or in a replay.",
                "ops",
                [
                    (
                        rate("events_processed_total", "outcome, reason, phase"),
                        "{{outcome}} {{reason}} {{phase}}",
                    )
                ],
            ),
            (
                "Chunk time",
                "Time to project and send one chunk.",
                "s",
                quantiles("chunk_duration_seconds"),
            ),
            ("Chunk size", "Records handed over at once.", "short", quantiles("chunk_records")),
            (
                "Writes and changelog",
                "Desired records by object, and changelog records by table.",
                "ops",
                [
                    (rate("writes_emitted_total", "object, phase"), "{{object}} {{phase}}"),
                    (rate("changelog_records_total", "table"), "{{table}} changelog"),
                ],
            ),
            (
                "Tables",
                "Customers in the tables, and changelog records still to be read at a start.",
                "short",
                [
                    (f"sum by (table) (revstream_table_keys{{{ON}}})", "{{table}}"),
                    (highest("recovery_remaining_records", "table"), "{{table}} to be read"),
                ],
            ),
            (
                "Order not told by Stripe",
                "Same-second events whose order only a fetch could tell; `no` means it failed.",
                "ops",
                [(rate("order_ambiguous_total", "resolved"), "fetched: {{resolved}}")],
            ),
        ],
    ),
    (
        "Writer",
        [
            ("Window size", "Rows of a window after coalescing.", "short", quantiles("window_rows")),
            (
                "Rows",
                "Rows by object and outcome, live or in a replay.",
                "ops",
                [
                    (
                        rate("salesforce_rows_total", "object, outcome, phase"),
                        "{{object}} {{outcome}} {{phase}}",
                    )
                ],
            ),
            (
                "Refused rows and retries",
                "By class of error, and what was tried again.",
                "ops",
                [
                    (rate("salesforce_row_errors_total", "error_class"), "{{error_class}}"),
                    (rate("salesforce_retries_total", "reason"), "again: {{reason}}"),
                ],
            ),
            (
                "Held back",
                "1 while writes of an object wait, and for what.",
                "short",
                [(highest("lane_paused", "object, reason"), "{{object}} {{reason}}")],
            ),
            (
                "Last batch",
                "Time since a stage last finished a batch; it grows while nothing comes.",
                "s",
                [(f"time() - {highest('last_processed_timestamp_seconds', 'stage')}", "{{stage}}")],
            ),
        ],
    ),
    (
        "Salesforce",
        [
            (
                "Calls",
                "API calls by operation and status.",
                "reqps",
                [(rate("salesforce_requests_total", "operation, code"), "{{operation}} {{code}}")],
            ),
            (
                "Call time",
                "Time of one API call.",
                "s",
                quantiles("salesforce_request_duration_seconds"),
            ),
            (
                "Daily calls",
                "Calls of the last 24 hours, by all integrations of the org, and what it may make.",
                "short",
                [
                    (highest("salesforce_api_used"), "used"),
                    (highest("salesforce_api_limit"), "allowed"),
                ],
            ),
        ],
    ),
    (
        "Notices",
        [
            (
                "Told",
                "Notices by channel and by what became of them; those of no channel were not to be told.",
                "ops",
                [(rate("notices_total", "channel, outcome"), "{{channel}} {{outcome}}")],
            ),
            (
                "To be told",
                "Notices that wait for a channel: it is down, or too many came in a minute.",
                "short",
                [(f"sum by (channel) (revstream_notices_waiting{{{ON}}})", "{{channel}}")],
            ),
        ],
    ),
    (
        "Dead letters",
        [
            (
                "Set aside",
                "Records set aside, by stage and reason.",
                "ops",
                [(rate("dead_letters_total", "stage, reason"), "{{stage}} {{reason}}")],
            ),
            (
                "Kept",
                "Dead letters that Kafka still keeps.",
                "short",
                [(highest("dead_letter_records"), "records")],
            ),
        ],
    ),
]


def dashboard() -> dict[str, Any]:
    """Grafana's classic JSON model."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append(_at({"type": "row", "title": title, "collapsed": False, "panels": []}, 0, y, 24, 1))
        for number, panel in enumerate(row):
            x, line = number % 3 * WIDTH, number // 3
            panels.append(_at(_panel(*panel), x, y + 1 + line * HEIGHT, WIDTH, HEIGHT))
        y += 1 + -(-len(row) // 3) * HEIGHT
    for number, panel_ in enumerate(panels, start=1):
        panel_["id"] = number
    return {
        "uid": "revstream-overview",
        "title": "Revstream overview",
        "tags": ["revstream"],
        "editable": False,
        "schemaVersion": 39,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "timezone": "utc",
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                _variable("job", "label_values(revstream_build_info, job)"),
                _variable("instance", 'label_values(revstream_build_info{job=~"$job"}, instance)'),
            ]
        },
        "panels": panels,
    }


def _at(panel: dict[str, Any], x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {**panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _panel(title: str, description: str, unit: str, queries: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": query, "legendFormat": legend}
            for number, (query, legend) in enumerate(queries)
        ],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "includeAll": True,
        "multi": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
