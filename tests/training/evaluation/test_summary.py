"""The summary: its numbers are those of the metrics, its intervals agree with the paired bootstrap of one period."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics

from training.evaluation import weighted
from training.evaluation.campaign import Campaign
from training.evaluation.intervals import paired_gain
from training.evaluation.summary import Summary, as_json, best_baseline, summarise
from training.evaluation.tasks import HEADLINE, decided, figures, task_of
from training.evidence import Evidence
from training.periods import Period

DRAWS = 60


@pytest.fixture(scope="module")
def summary(risk_evidence: Evidence) -> Summary:
    return summarise(risk_evidence, campaign=Campaign(), draws=DRAWS)


def test_tasks_are_told_by_their_answers(every_evidence: dict[str, Evidence]) -> None:
    found = {model: task_of(evidence) for model, evidence in every_evidence.items()}

    assert found == {"churn": "risk", "tier": "tiers", "value": "amount", "segments": "groups", "recommender": "lists"}


def test_figures_are_those_of_the_libraries(risk_evidence: Evidence) -> None:
    one = risk_evidence.judged[0]
    found = figures("risk", one.truth, one.answer)

    assert found["auc"] == pytest.approx(metrics.roc_auc_score(one.truth, one.answer))
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(one.truth, one.answer))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(one.truth, one.answer))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(one.truth, one.answer))


def test_a_ranking_without_probabilities_has_ranking_figures_only(risk_evidence: Evidence) -> None:
    one = risk_evidence.judged[0]

    assert set(figures("risk", one.truth, one.others["recency"])) == {"auc", "average_precision", "lift10"}


def test_tier_figures_decide_by_the_median(every_evidence: dict[str, Evidence]) -> None:
    one = every_evidence["tier"].judged[0]
    said = np.array([[0.5, 0.3, 0.2], [0.2, 0.29, 0.51], [0.3, 0.4, 0.3]])

    assert decided("tiers", said).tolist() == [0, 2, 1]
    found = figures("tiers", one.truth, one.answer)
    kappa = metrics.cohen_kappa_score(one.truth, decided("tiers", one.answer), weights="quadratic")
    assert found["qwk"] == pytest.approx(kappa)
    assert figures("tiers", one.truth, one.others["persistence"]).keys() == {"qwk", "accuracy"}


def test_a_recipe_with_cuts_of_its_own_is_judged_by_them(every_evidence: dict[str, Evidence]) -> None:
    judged = tuple(replace(one, notes={"cuts": [0.9, 1.6]}) for one in every_evidence["tier"].judged)
    one = judged[0]
    positions = [int(mean >= 0.9) + int(mean >= 1.6) for mean in one.answer @ np.arange(3)]

    found = summarise(replace(every_evidence["tier"], judged=judged), draws=5)

    kappa = metrics.cohen_kappa_score(one.truth, positions, weights="quadratic")
    assert found.periods[0].figures["qwk"] == pytest.approx(kappa)
    assert found.periods[0].headline.value == pytest.approx(kappa)
    assert found.periods[0].figures["accuracy"] == pytest.approx(np.mean(one.truth == positions))
    assert found.classes[2].said == sum(mean >= 1.6 for mean in judged[-1].answer @ np.arange(3))


def test_a_recipe_that_needs_no_training_window_has_a_report(risk_evidence: Evidence) -> None:
    period = Period(28, (), None, None, risk_evidence.judged[0].period.test)
    alone = replace(risk_evidence, judged=(replace(risk_evidence.judged[0], period=period),))

    assert summarise(alone, draws=5).periods[0].fitted_until == ""


def test_means_over_the_periods(summary: Summary) -> None:
    for name, value in summary.figures.items():
        assert value == pytest.approx(np.mean([period.figures[name] for period in summary.periods]))
    for name, gain in summary.gains.items():
        assert gain.value == pytest.approx(np.mean([period.gains[name].value for period in summary.periods]))
        assert gain.low < gain.value < gain.high


def test_a_period_alone_has_the_interval_of_the_paired_bootstrap(risk_evidence: Evidence) -> None:
    one = risk_evidence.judged[0]
    alone = Evidence(risk_evidence.model, risk_evidence.engine, risk_evidence.definition, (one,))

    found = summarise(alone, draws=DRAWS, seed=3).periods[0].gains["recency"]

    mine, theirs = weighted.auc(one.truth, one.answer), weighted.auc(one.truth, one.others["recency"])
    assert found == paired_gain(mine, theirs, one.member_ids, seed=3, draws=DRAWS)


def test_more_periods_make_the_mean_surer_than_one(summary: Summary) -> None:
    width = summary.headline.high - summary.headline.low

    assert width < min(period.headline.high - period.headline.low for period in summary.periods)


def test_the_best_baseline_is_the_one_with_the_highest_headline_figure(every_evidence: dict[str, Evidence]) -> None:
    for evidence in every_evidence.values():
        task = task_of(evidence)
        values = {
            name: np.mean([figures(task, one.truth, one.others[name])[HEADLINE[task]] for one in evidence.judged])
            for name in evidence.baselines
        }
        assert values[str(best_baseline(task, evidence))] == max(values.values())


def test_the_top_of_the_list_by_hand(summary: Summary, risk_evidence: Evidence) -> None:
    tenth = next(one for one in summary.top if one.share == 0.1)
    left = [one.truth[np.argsort(-one.answer)[:90]].mean() for one in risk_evidence.judged]
    caught = [one.truth[np.argsort(-one.answer)[:90]].sum() / one.truth.sum() for one in risk_evidence.judged]

    assert tenth.observed.value == pytest.approx(np.mean(left))
    assert tenth.caught == pytest.approx(np.mean(caught))
    assert tenth.lift == pytest.approx(np.mean(left) / summary.observed)


def test_the_curve_rises_from_nothing_to_everything(summary: Summary) -> None:
    assert summary.caught is not None
    for curve in (summary.caught.model, summary.caught.baseline):
        assert (curve[0], curve[-1]) == (0, pytest.approx(1))
        assert all(after >= before - 1e-12 for before, after in pairwise(curve))


def test_losses_are_turned_so_that_more_is_better(summary: Summary) -> None:
    assert set(summary.losses) == {"bgnbd"}  # recency is no probability
    assert summary.losses["bgnbd"].verdict == "better"


def test_fitted_until_lies_before_the_test_window(summary: Summary) -> None:
    for period in summary.periods:
        assert period.fitted_until < period.test_from <= period.test_to


@pytest.mark.parametrize("model", ["churn", "tier", "value", "segments"])
def test_everything_can_be_written_as_strict_json(every_evidence: dict[str, Evidence], model: str) -> None:
    text = json.dumps(as_json(summarise(every_evidence[model], draws=10)), allow_nan=False)

    assert json.loads(text)["model"] == model


def test_coverage_is_the_share_inside_the_interval(every_evidence: dict[str, Evidence]) -> None:
    one = every_evidence["value"].judged[0]
    found = summarise(every_evidence["value"], draws=10).periods[0].figures

    assert one.low is not None
    assert one.high is not None
    inside = [low <= spent <= high for spent, low, high in zip(one.truth, one.low, one.high, strict=True)]
    assert found["coverage"] == pytest.approx(np.mean(inside))


def test_classes_are_counted(every_evidence: dict[str, Evidence]) -> None:
    newest = every_evidence["tier"].judged[-1]
    found = summarise(every_evidence["tier"], draws=10).classes

    assert [one.label for one in found] == ["regular", "gold", "diamond"]
    assert [one.members for one in found] == np.bincount(newest.truth).tolist()
    assert sum(one.said for one in found) == len(newest)
