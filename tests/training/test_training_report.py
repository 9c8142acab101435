"""A training run brings its report along: the page and the numbers of its evidence, or why there are none."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from made_up_evidence import risk_evidence
from mlflow.models import get_model_info

from features.contract import CONTRACT
from features.facts import Facts
from tests.training.registered import with_answers
from training import training_report
from training.datasets import Examples
from training.evidence import Evidence
from training.registry import run_file
from training.report import Cost, report_files
from training.run_page import describe
from training.tracking import record
from training.trained import Trained
from training.training_report import NOT_WRITTEN, cost_of, trained_with_report

__all__ = ["risk_evidence"]  # a fixture
AT = datetime(2026, 3, 1, 6, tzinfo=UTC)


@pytest.fixture
def trained(predictors, made_up: Examples, risk_evidence: Evidence) -> Trained:
    return Trained(predictors["churn-xgboost"], {"auc": 0.8}, {}, {"seed": 7}, examples=made_up, evidence=risk_evidence)


@pytest.fixture
def later(facts: Facts, risk_evidence: Evidence) -> Facts:
    """Facts that reach as far as the made-up evidence does."""
    newest = risk_evidence.judged[-1].period
    return replace(facts, manifest=replace(facts.manifest, until_day=newest.test + newest.horizon_days))


def test_a_run_holds_the_report_on_its_own_evidence(trained: Trained, later: Facts, tmp_path: Path) -> None:
    found = trained_with_report(lambda: trained, later, clock=lambda: AT)
    registered = record(tmp_path / "mlruns", found)

    page = run_file(tmp_path / "mlruns", registered, "report/report.html").read_text()
    numbers = json.loads(run_file(tmp_path / "mlruns", registered, "report/report.json").read_text())
    assert "Better than every simple rule" in page
    assert numbers["provenance"]["made_at"] == "2026-03-01 06:00 UTC"
    assert numbers["provenance"]["facts_hash"] == later.manifest.hash
    assert len(numbers["summary"]["periods"]) == 3
    assert numbers["cost"]["bundle_bytes"] > 1000
    assert numbers["cost"]["microseconds_per_row"] > 0
    assert run_file(tmp_path / "mlruns", registered, "report/plots/reliability.png").read_bytes().startswith(b"\x89PNG")
    assert "report/report.html" in describe(found)
    signature = get_model_info("models:/churn/1").signature
    assert signature is not None
    assert (len(signature.inputs.inputs), signature.outputs.inputs[0].shape) == (len(CONTRACT.model_features), (-1,))
    assert found.evidence is trained.evidence


def test_evidence_that_means_nothing_has_no_report_but_the_reason(trained: Trained, later: Facts) -> None:
    assert trained.evidence is not None
    constant = replace(trained, evidence=with_answers(trained.evidence, lambda one: np.full(len(one), 0.3)))

    found = trained_with_report(lambda: constant, later, clock=lambda: AT)

    assert list(found.files) == [NOT_WRITTEN]
    assert found.files[NOT_WRITTEN].startswith(b"CONSTANT")
    assert "report/" not in describe(found)


def test_figures_alone_have_no_report(trained: Trained, facts: Facts) -> None:
    plain = replace(trained, evidence=None, files={"notes.txt": b"kept"})

    assert trained_with_report(lambda: plain, facts, clock=lambda: AT) is plain


def test_what_a_step_brought_along_stays(trained: Trained, later: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_report, "report_files", lambda evidence, **_: {"report.html": b"page"})

    found = trained_with_report(lambda: replace(trained, files={"notes.txt": b"kept"}), later, clock=lambda: AT)

    assert found.files == {"notes.txt": b"kept", "report.html": b"page"}


def test_lists_have_a_size_and_no_cost_a_row(predictors) -> None:
    found = cost_of(Trained(predictors["recommender"], {}, {}, {}), train_seconds=2.0)

    assert found.bundle_bytes is not None
    assert found == Cost(2.0, found.bundle_bytes, None)


def test_the_page_shows_what_a_row_costs(risk_evidence: Evidence) -> None:
    page = report_files(risk_evidence, cost=Cost(1.0, 2_000_000, 12.5))["report.html"].decode()

    assert "2.0 MB" in page
    assert "12.5" in page or "12" in page
