"""docs/monitoring: Prometheus reads the alerts and the dashboard's queries, and each alert fires when it should."""

import json
from pathlib import Path

from tests.monitoring.promtool import ALERTS, DASHBOARD, ROOT, promtool


def dashboard_queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_the_alerts_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(ALERTS))


def test_the_configuration_is_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", str(ALERTS.with_name("prometheus.yml")))


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(ROOT / "tests" / "monitoring" / "alerts_test.yml"))


def test_every_alert_has_its_test() -> None:
    names = [line.split()[-1] for line in ALERTS.read_text().splitlines() if "- alert:" in line]
    assert len(names) > 10
    tested = (ROOT / "tests" / "monitoring" / "alerts_test.yml").read_text()
    assert [name for name in names if name not in tested] == []


def test_the_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    queries = [query.replace("$__rate_interval", "1m") for query in dashboard_queries()]
    assert len(queries) > 20
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    assert "SUCCESS" in promtool("check", "rules", str(file))


def test_the_dashboard_asks_for_its_data_source() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {variable["name"]: variable["type"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource": "datasource", "job": "query", "instance": "query"}
    shown = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in shown} == {"${datasource}"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
