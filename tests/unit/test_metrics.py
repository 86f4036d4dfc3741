"""Metrics: how they are named, that each is set somewhere, and that alerts and the dashboard ask for real ones."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from deploy.grafana import overview
from stream import metrics

TOP = Path(__file__).parents[2]
METRICS = {name: of for name, of in vars(metrics).items() if isinstance(of, MetricWrapperBase)}
RULES = TOP / "deploy/prometheus/rules/revstream.yml"
TESTS = sorted((TOP / "deploy/prometheus/tests").glob("*.yml"))
ALERTS = [
    rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
RECORDED = {
    rule["record"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
}
PANELS = [panel for panel in overview.dashboard()["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs promtool. It comes with Debian's package `prometheus`, which `.ci/run` installs."""
    try:
        return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.fail("promtool is missing: apt-get install --no-install-recommends prometheus")


def series(of: MetricWrapperBase) -> set[str]:
    """The names that a metric has in a scrape."""
    (family,) = of.describe()
    if isinstance(of, Histogram):
        return {f"{family.name}{suffix}" for suffix in ("_bucket", "_count", "_sum")}
    return {family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")}


EXPORTED = {name: series(of) for name, of in METRICS.items()}


@pytest.mark.parametrize("name", METRICS)
def test_names_follow_prometheus(name: str) -> None:
    (family,) = METRICS[name].describe()
    assert re.fullmatch(r"revstream(_[a-z0-9]+)+", family.name)
    assert family.documentation.endswith(".")
    if isinstance(METRICS[name], Gauge):
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
    for unit in ("_ms", "_milliseconds", "_minutes", "_kb", "_percent"):
        assert not family.name.endswith(unit)


def test_every_metric_is_set_by_some_stage() -> None:
    source = "".join(
        path.read_text()
        for folder in ("stream", "agents")
        for path in (TOP / folder).rglob("*.py")
        if path.name != "metrics.py"
    )
    assert [name for name in METRICS if not re.search(rf"\bmetrics\.{name}\b", source)] == []


def test_labels_come_from_closed_lists() -> None:
    allowed = {
        *("channel", "code", "error_class", "family", "group", "object", "operation", "outcome", "partition"),
        "phase",
        *("reason", "resolved", "stage", "table", "topic"),
    }
    assert {label for of in METRICS.values() for label in of._labelnames} <= allowed


@pytest.mark.parametrize(
    ("histogram", "bound"),
    [(metrics.HTTP_DURATION, 2), (metrics.END_TO_END, 60), (metrics.END_TO_END, 900)],
)
def test_what_alerts_ask_for_is_a_bucket(histogram: Histogram, bound: float) -> None:
    assert bound in histogram._upper_bounds


def names(query: str) -> set[str]:
    bare = re.sub(r'"(\\.|[^"\\])*"', '""', query)
    return {*re.findall(r"\b(?:revstream[_:][a-z0-9_:]+)\b", bare)}


def test_alerts_and_dashboard_ask_for_what_is_exported() -> None:
    known = {*RECORDED, *(name for of in EXPORTED.values() for name in of)}
    for query in (*QUERIES, *(str(rule["expr"]) for rule in ALERTS)):
        assert names(query) <= known, query


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for query in QUERIES for name in names(query)}
    assert [name for name, of in EXPORTED.items() if not of & shown] == []


# Rules


def test_the_configuration_and_rules_are_valid() -> None:
    checked = promtool("check", "config", str(TOP / "deploy/prometheus/prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_rules_do_what_their_tests_say() -> None:
    tested = promtool("test", "rules", *map(str, TESTS))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tried_firing_and_silent() -> None:
    tried: dict[str, set[bool]] = {}
    for file in TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for check in case["promql_expr_test"]:
                (name,) = re.findall(r'alertname="(\w+)"', check["expr"])
                tried.setdefault(name, set()).add(bool(check["exp_samples"]))
    assert tried == {rule["alert"]: {True, False} for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_tells_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"Revstream([A-Z][a-z0-9]+)+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    notes = rule["annotations"]
    assert notes["summary"].endswith(".")
    assert "{{" not in notes["summary"]
    assert notes["description"].endswith(".")
    assert notes["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    sections = re.split(r"(?m)^## ", (TOP / "docs/runbooks.md").read_text())[1:]
    assert [section.split("\n")[0] for section in sections] == [rule["alert"] for rule in ALERTS]
    for section in sections:
        for part in ("Means", "Look", "Mend"):
            assert f"- **{part}**: " in section


# The dashboard; the rules are those of grafana/dashboard-linter


def test_the_committed_dashboard_is_the_generated_one() -> None:
    assert overview.FILE.read_text() == overview.text(), "Run `make docs`."


def test_every_query_parses(tmp_path: Path) -> None:
    variables = {"$__rate_interval": "5m", "$job": ".+", "$instance": ".+"}
    rules = []
    for number, query in enumerate(QUERIES):
        for name, value in variables.items():
            query = query.replace(name, value)
        assert "$" not in query
        rules.append({"record": f"query:{number}", "expr": query})
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(QUERIES)} rules found" in checked.stdout


def test_the_dashboard_is_not_edited_in_place_and_has_its_variables() -> None:
    board = overview.dashboard()
    assert board["editable"] is False
    variables = {of["name"]: of for of in board["templating"]["list"]}
    assert set(variables) == {"datasource", "job", "instance"}
    assert all(of["refresh"] == 2 for name, of in variables.items() if name != "datasource")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_is_complete(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["datasource"] == overview.DATASOURCE
    assert panel["fieldConfig"]["defaults"]["unit"] in {"s", "ops", "reqps", "short"}
    assert panel["targets"]
    for target in panel["targets"]:
        query = target["expr"]
        assert target["legendFormat"]
        for selector in re.findall(r"\{(.*?)\}", query):
            assert 'job=~"$job"' in selector
            assert 'instance=~"$instance"' in selector
        for counter in re.findall(r"\w+_(?:total|bucket)\b", query):
            assert re.search(rf"\brate\({counter}\{{[^}}]*\}}\[\$__rate_interval\]\)", query)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in overview.dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_rows_follow_the_way_through() -> None:
    titles = [panel["title"] for panel in overview.dashboard()["panels"] if panel["type"] == "row"]
    assert titles == [
        *("Does it work", "Stripe to gateway", "Kafka", "Projector", "Writer", "Salesforce", "Notices"),
        "Dead letters",
    ]


def test_counters_that_count_failures_have_one_for_attempts() -> None:
    assert isinstance(metrics.PRODUCE_FAILURES, Counter)
    assert {"revstream_kafka_produce_duration_seconds_count"} <= series(metrics.PRODUCE_DURATION)
