"""What docs/api.md and docs/runbooks.md say of codes and metrics is what the code has."""

import re
from pathlib import Path

from serving.metrics import METRICS
from serving.problems import CODES

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_of_errors_has_every_code_with_its_status() -> None:
    text = (DOCS / "api.md").read_text().partition("## Errors")[2]
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \|", text, re.MULTILINE)
    found = {code: int(status) for status, codes in rows for code in re.findall(r"`([a-z_]+)`", codes)}

    assert found == {code: status for code, (status, _) in CODES.items()}


def test_alarms_ask_for_metrics_and_labels_that_there_are() -> None:
    text = (DOCS / "runbooks.md").read_text()
    metrics = {metric.name: dict(metric.labels) for metric in METRICS}
    asked = re.findall(r"(rapport_[a-z_]+?)(?:_bucket)?(?:\{(\w+)=~?\"([^\"]+)\"\})?(?=[\[`)\s{])", text)

    assert len(asked) > 10
    for name, label, values in asked:
        assert name in metrics, name
        if label:
            assert set(values.replace("\\", "").split("|")) <= set(metrics[name][label]), (name, label)


def test_every_alarm_has_its_runbook() -> None:
    text = (DOCS / "runbooks.md").read_text()
    headings = {
        re.sub(r"[^a-z -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^## (.+)$", text, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([a-z-]+)\)", text)) <= headings
