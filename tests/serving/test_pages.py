"""What docs/api.md and docs/runbooks.md say of codes and metrics is what the code has."""

import re
from pathlib import Path

import yaml

from serving.metrics import METRICS
from serving.problems import CODES

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_of_errors_has_every_code_with_its_status() -> None:
    text = (DOCS / "api.md").read_text().partition("## Errors")[2]
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \|", text, re.MULTILINE)
    found = {code: int(status) for status, codes in rows for code in re.findall(r"`([a-z_]+)`", codes)}

    assert found == {code: status for code, (status, _) in CODES.items()}


def test_metrics_that_the_runbooks_name_are_there() -> None:
    named = set(re.findall(r"`(rapport_[a-z_]+)`", (DOCS / "runbooks.md").read_text()))

    assert named
    assert named <= {metric.name for metric in METRICS}


def test_every_alarm_has_its_runbook() -> None:
    text = (DOCS / "runbooks.md").read_text()
    rules = yaml.safe_load((DOCS.parent / "deploy" / "prometheus" / "rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert {
        name for line in re.findall(r"^\| (.+) \| \[", text, re.MULTILINE) for name in re.findall(r"`(Rapport\w+)`", line)
    } == alerts
    headings = {
        re.sub(r"[^a-z -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^## (.+)$", text, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([a-z-]+)\)", text)) <= headings
