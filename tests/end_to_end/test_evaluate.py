"""`rapport evaluate` on the slice of Complete Journey: its answer to a program, its files, its refusals."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import Result
from made_up_evidence import risk_evidence
from typer.testing import CliRunner

import rapport
from commands import evaluate as job
from training.evidence import Evidence

__all__ = ["risk_evidence"]  # a fixture
Run = Callable[..., Result]


@pytest.fixture
def run(facts_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command on a data folder of our own with the facts of the slice in it."""
    (tmp_path / "facts").symlink_to(facts_folder)
    monkeypatch.setenv("RAPPORT_DATA_DIR", str(tmp_path))
    return lambda *words: CliRunner().invoke(rapport.app, ["evaluate", *words])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_of_the_slice_is_judged_on_three_periods(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_TUNING_TRIALS", "0")
    result = run("--model", "churn", "--json")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)["reports"][0]
    numbers = json.loads(Path(report["json"]).read_text())
    assert Path(report["html"]).parent == tmp_path / "reports"
    assert (report["model"], len(report["periods"])) == ("churn", 3)
    assert set(report["baselines"]) >= {"recency", "rfm_logistic"}
    assert {one["name"] for one in numbers["summary"]["slices"]} == {"tier", "stage", "channel", "tenure"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_lists_of_the_slice_are_judged_by_three_questions(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_TUNING_TRIALS", "0")
    result = run("--model", "recommender", "--json")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)["reports"][0]
    assert len(report["periods"]) == 3
    assert {one["question"] for one in report["further"]} == {"novel", "basket"}
    assert set(report["baselines"]) >= {"own_frequency", "popularity", "als", "ease", "item_item"}
    assert "What the lists are like" in Path(report["html"]).read_text()


def test_a_report_and_the_same_figures_for_a_program(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, risk_evidence: Evidence
) -> None:
    monkeypatch.setattr(job, "test_periods", lambda snapshots, model: ())
    monkeypatch.setattr(job, "snapshot_days", lambda snapshots, model, *, tuning: ())
    monkeypatch.setattr(job, "evidence_of", lambda snapshots, model, engine, *, search, done: risk_evidence)
    monkeypatch.setattr(job, "summarise", partial(job.summarise, draws=20))
    until = risk_evidence.judged[-1].period
    monkeypatch.setattr(job, "until_day", lambda facts: until.test + until.horizon_days)

    result = run("--model", "churn", "--contact-cost", "0.5", "--out", str(tmp_path / "elsewhere"), "--json")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)["reports"][0]
    numbers = json.loads(Path(report["json"]).read_text())
    page = Path(report["html"]).read_text()
    assert Path(report["html"]).parent == tmp_path / "elsewhere"
    assert report["figures"] == numbers["summary"]["figures"]
    assert report["verdict"] == "Better than every simple rule"
    assert report["verdict"] in page
    assert "a contact costs 0.50 USD" in page
    assert numbers["provenance"]["facts_hash"] in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--success-rate", "1.5"), "success rate is 1.5"),
        (("--model", "weather"), "no recipe weather"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_name(run: Run, words: tuple[str, ...], message: str) -> None:
    result = run(*words)

    assert result.exit_code != 0
    assert message in str(result.exception)
