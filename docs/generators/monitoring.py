"""Generate docs/monitoring: alert rules for Prometheus from the alert conditions, and a dashboard for Grafana.

https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/,
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/. `make check` compares.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

from gateway.feed.alerts.conditions import ROWS, RUNBOOK, next_step
from gateway.runtime.metrics import METRICS, PREFIX

UP = 'up{job="autoscribe-gateway"}'
OTHER_RUNBOOK = "a-heartbeat-is-missing"
# Rules for what the gateway cannot say of itself: name, expression, minutes, severity, summary
OWN = (
    ("silent", f"{UP} == 0 or absent({UP})", 2, "page", "Prometheus reaches no gateway: nothing may be sent."),
    (
        "not-watched",
        f'absent({PREFIX}feed_oldest_seconds) and on() {PREFIX}loop_last_finished_timestamp_seconds{{loop="sweep"}}',
        15,
        "page",
        "No process watches the destinations, so no alert of the feed can be raised.",
    ),
    ("index-old", f"{PREFIX}index_age_seconds > 86400", 15, "ticket", "No sweep of AutoScribe ended for a day."),
    ("log-lost", f"increase({PREFIX}log_lines_dropped_total[1h]) > 0", 1, "ticket", "Lines of the log were lost."),
)


def rules() -> str:
    """Return the groups of rules as YAML: one rule for each alert condition, and those of `OWN`."""
    lines = ["groups:", "  - name: autoscribe-gateway-alerts", "    rules:"]
    for code, row in ROWS.items():
        expression = f'max by (destination) ({PREFIX}feed_alert{{code="{code}"}}) > 0'
        step = next_step(code, "{{ $labels.destination }}", "STUDY")
        lines += _rule(code, expression, 0, "page" if row.is_urgent else "ticket")
        lines += _annotations(row.meaning, f"{RUNBOOK}#{code}", f"autoscribe-gateway {step}")
    lines += ["  - name: autoscribe-gateway-itself", "    rules:"]
    for name, expression, minutes, severity, summary in OWN:
        lines += _rule(name, expression, minutes, severity)
        lines += _annotations(summary, f"{RUNBOOK}#{OTHER_RUNBOOK}", "autoscribe-gateway feed status")
    return "\n".join(lines)


def _rule(code: str, expression: str, minutes: int, severity: str) -> Iterator[str]:
    yield f"      - alert: AutoScribeGateway{''.join(part.capitalize() for part in code.split('-'))}"
    yield f"        expr: {_text(expression)}"
    if minutes:
        yield f"        for: {minutes}m"
    yield f"        labels: {{severity: {severity}}}"


def _annotations(summary: str, runbook: str, step: str) -> Iterator[str]:
    yield "        annotations:"
    yield f"          summary: {_text(summary)}"
    yield f"          runbook: {_text(runbook)}"
    yield f"          next: {_text(step)}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


# Panels of the dashboard: title, unit, and expressions with their legends
PANELS = (
    (
        "Alerts that hold",
        "short",
        ((f"max by (code, destination) ({PREFIX}feed_alert) > 0", "{{code}} {{destination}}"),),
    ),
    ("Queue", "short", ((f"{PREFIX}feed_queue", "{{destination}}"),)),
    ("Oldest message", "s", ((f"{PREFIX}feed_oldest_seconds", "{{destination}}"),)),
    (
        "Held, and dead letters",
        "short",
        ((f"{PREFIX}feed_held", "held {{destination}}"), (f"{PREFIX}feed_dead_letters", "dead {{destination}}")),
    ),
    (
        "Since the last acknowledgement",
        "s",
        ((f"time() - {PREFIX}feed_last_ack_timestamp_seconds", "{{destination}}"),),
    ),
    (
        "Signature to acknowledgement, 95 of 100",
        "s",
        (
            (
                f"histogram_quantile(0.95, sum by (le, destination) (rate({PREFIX}feed_seconds_bucket[15m])))",
                "{{destination}}",
            ),
            (
                f"histogram_quantile(0.95, sum by (le, destination) (rate({PREFIX}feed_critical_seconds_bucket[1h])))",
                "critical {{destination}}",
            ),
        ),
    ),
    (
        "Messages by result",
        "cpm",
        ((f"sum by (destination, state) (rate({PREFIX}feed_messages_total[5m])) * 60", "{{destination}} {{state}}"),),
    ),
    ("Open reports by fate", "short", ((f"{PREFIX}feed_open_reports", "{{destination}} {{fate}}"),)),
    ("Days left of certificates", "d", ((f"{PREFIX}certificate_days_left", "{{kind}} {{name}} {{destination}}"),)),
    (
        "Orders",
        "short",
        ((f"{PREFIX}orders_unmatched", "without a match"), (f"{PREFIX}orders_waiting", "to be applied {{source}}")),
    ),
    ("Age of the crawl", "s", ((f"{PREFIX}index_age_seconds", "last whole sweep"),)),
    (
        "Requests to AutoScribe",
        "reqps",
        ((f"sum by (status) (rate({PREFIX}upstream_requests_total[5m]))", "{{status}}"),),
    ),
)


def dashboard() -> str:
    """Return the dashboard as JSON."""
    panels = [
        {
            "id": number + 1,
            "title": title,
            "type": "timeseries",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
            "gridPos": {"h": 8, "w": 8, "x": number % 3 * 8, "y": number // 3 * 8},
            "targets": [
                {"expr": expression, "legendFormat": legend, "refId": chr(ord("A") + place)}
                for place, (expression, legend) in enumerate(targets)
            ],
        }
        for number, (title, unit, targets) in enumerate(PANELS)
    ]
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return json.dumps(
        {
            "title": "AutoScribe gateway",
            "uid": "autoscribe-gateway",
            "schemaVersion": 39,
            "time": {"from": "now-24h", "to": "now"},
            "refresh": "1m",
            "templating": {"list": [source]},
            "panels": panels,
        },
        indent=2,
    )


def named_metrics(text: str) -> set[str]:
    """Return the names of the gateway's metrics in an expression, without the endings of a histogram."""
    histograms = {f"{PREFIX}{one.name}" for one in METRICS if one.kind == "histogram"}
    found = set(re.findall(rf"{PREFIX}\w+", text))
    return {one.removesuffix("_bucket") if one.removesuffix("_bucket") in histograms else one for one in found}


if __name__ == "__main__":
    sys.stdout.write(f"{dashboard()}\n")
