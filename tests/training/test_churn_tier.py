"""Tier models of the slice beside honest baselines, and what training refuses."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from shops import Line, shop

from features.errors import NotEnoughData
from features.facts import Facts
from training.audit import last_verdict
from training.candidacy import recorded_contender
from training.churn import ChurnDefinition, churn_days, train_churn
from training.datasets import Snapshots
from training.evaluation import quadratic_weighted_kappa
from training.evaluation.tasks import said_by
from training.evidence import Evidence
from training.gate.comparison import beside_baseline, quality
from training.gate.measures import measure_of
from training.labels import spend_within
from training.pipeline import MODELS, snapshot_days, steps, train
from training.predictors import TierOdds, TierPredictor
from training.registry import load, recorded_figures, registered_models, resolve
from training.spending import spending_days
from training.tier import TIERS, TierDefinition, tier_definition
from training.tier_odds import best_cuts, fit_odds

TRAINED_AT = datetime(2018, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def proof(mlruns: Path) -> Evidence:
    """Evidence of tier on the slice, as its run keeps it."""
    found = recorded_contender(mlruns, resolve(mlruns, "tier")).evidence
    assert found is not None
    return found


@pytest.fixture(scope="module")
def predictor(mlruns: Path) -> TierPredictor:
    """Tier on the slice, as it ships."""
    found = load(resolve(mlruns, "tier"))
    assert isinstance(found, TierPredictor)
    return found


def test_tier_thresholds_cut_at_sixty_and_ninety_percent() -> None:
    definition = tier_definition(np.array([100 * (i + 1) for i in range(100)]), 90)

    assert (definition.gold_from_cents, definition.diamond_from_cents) == (6000, 9000)
    tiers = definition.tier_of(np.array([100 * (i + 1) for i in range(100)]))
    assert np.bincount(tiers).tolist() == [59, 30, 11]  # whoever spends just the threshold is in the tier it begins
    assert definition.tier_of(np.array([5999, 6000, 8999, 9000, -50, 0])).tolist() == [0, 1, 1, 2, 0, 0]
    assert definition.tiers == TIERS == ("regular", "gold", "diamond")


def test_where_most_spend_nothing_whoever_spends_is_gold() -> None:
    definition = tier_definition(np.array([0] * 80 + [500 * (i + 1) for i in range(20)]), 90)

    assert definition.tier_of(np.array([-100, 0, 1, 5000, 5001])).tolist()[:3] == [0, 0, 1]
    assert definition.diamond_from_cents == 5000


def test_tier_thresholds_are_those_of_the_windows_it_learned_from(
    predictor: TierPredictor, snapshots: Snapshots, facts: Facts
) -> None:
    definition = predictor.manifest.definition
    spent = np.concatenate(
        [
            spend_within(facts, snapshots.at(day).member_ids.tolist(), day=day, horizon_days=90)
            for day in predictor.manifest.lineage["cutoffs"]["train"]
        ]
    )

    assert (spent < definition["gold_from_cents"]).mean() == pytest.approx(0.6, abs=0.01)
    assert (spent >= definition["diamond_from_cents"]).mean() == pytest.approx(0.1, abs=0.01)


def test_members_who_all_spend_the_same_have_no_tiers() -> None:
    with pytest.raises(NotEnoughData, match="too much alike"):
        tier_definition(np.full(50, 500), 90)


def test_the_tier_baseline_is_the_tier_of_the_last_ninety_days(proof: Evidence, facts: Facts) -> None:
    orders = facts.tables["orders"].select("member_id", "local_day", "net_cents").to_pyarrow().to_pydict()
    one = proof.judged[-1]
    day = one.period.test
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for member, when, cents in zip(orders["member_id"], orders["local_day"], orders["net_cents"], strict=True):
        if when < day:
            before.setdefault(member, 0)
            before[member] += cents if when >= day - 90 else 0
        else:
            after[member] = after.get(member, 0) + cents
    definition = TierDefinition(90, one.notes["gold_from_cents"], one.notes["diamond_from_cents"])
    stays, actual = (definition.tier_of(np.array([spent.get(m, 0) for m in sorted(before)])) for spent in (before, after))

    assert one.member_ids.tolist() == sorted(before)
    assert one.others["persistence"].tolist() == stays.tolist()
    assert one.truth.tolist() == actual.tolist()


def test_evidence_of_tiers_has_three_periods_and_every_baseline(proof: Evidence, mlruns: Path) -> None:
    assert len(proof.judged) == 3
    for one in proof.judged:
        assert set(one.others) == {"persistence", "past_spend_cut", "rfm_quantiles", "bgnbd_gamma_gamma"}
        assert one.period.train[-1] + 90 <= one.period.test
        np.testing.assert_allclose(one.answer.sum(axis=1), 1, atol=1e-9)
        said = said_by("tiers", one)
        assert said is not None
        assert set(np.unique(said)) == {0, 1, 2}
        assert quadratic_weighted_kappa(one.truth.astype(np.int64), said) > 0.6
    metrics, _ = recorded_figures(mlruns, resolve(mlruns, "tier"))
    newest = said_by("tiers", proof.judged[-1])
    assert newest is not None
    assert metrics["qwk"] == pytest.approx(quadratic_weighted_kappa(proof.judged[-1].truth.astype(np.int64), newest))
    assert metrics["qwk_gain_low"] < metrics["qwk_gain"] < metrics["qwk_gain_high"]


def test_the_gate_judges_tiers_row_by_row_as_they_are_named(proof: Evidence, mlruns: Path) -> None:
    measure = measure_of("tier")
    assert measure is not None
    own = quality(beside_baseline(proof, "persistence"), measure, "persistence")
    told = [(one, said_by("tiers", one)) for one in proof.judged]
    by_hand = np.mean([quadratic_weighted_kappa(one.truth.astype(np.int64), said) for one, said in told if said is not None])

    assert own.value == pytest.approx(by_hand)
    assert own.low < own.gain < own.high
    entry = last_verdict(mlruns, "tier", "1")
    assert entry is not None
    assert not any("figures alone" in note for note in entry.verdict["notes"])
    assert {"STALE_FEATURES", "LEAKAGE_SUSPECTED", "LABELS_DISAGREE", "NO_EVIDENCE"}.isdisjoint(
        reason["code"] for reason in entry.verdict["reasons"]
    )


def test_odds_and_cuts_of_a_made_up_shop_are_found_again() -> None:
    generator = np.random.default_rng(5)
    forecast = np.exp(generator.normal(0, 1, 20_000))
    odds = TierOdds(2.5, (0.5, 3.0), (0.5, 1.5))
    chances = odds.probabilities(forecast)
    tiers = (generator.random((20_000, 1)) > np.cumsum(chances, axis=1)).sum(axis=1)

    found = fit_odds(forecast, tiers)

    assert found.slope == pytest.approx(2.5, rel=0.05)
    np.testing.assert_allclose(found.borders, odds.borders, atol=0.1)
    best, rounded = (quadratic_weighted_kappa(tiers, one.said(chances)) for one in (found, odds))
    assert best > rounded
    scale = fit_odds(forecast * 1000, tiers)  # the unit of the forecast does not matter
    np.testing.assert_allclose(scale.probabilities(forecast * 1000), found.probabilities(forecast), atol=1e-3)


def test_cuts_find_the_groups_where_nothing_is_in_doubt() -> None:
    score = np.arange(1000.0)
    tiers = np.digitize(score, [600, 900])

    low, high = best_cuts(score, np.eye(3)[tiers])

    assert quadratic_weighted_kappa(tiers, np.digitize(score, [low, high])) > 0.98


def test_forecasts_that_tell_nothing_make_no_tiers() -> None:
    tiers = np.arange(300) % 3
    with pytest.raises(NotEnoughData):
        fit_odds(np.ones(300), tiers)
    with pytest.raises(NotEnoughData, match="no member"):
        fit_odds(np.ones(300), tiers // 2)


def test_a_month_of_facts_trains_nothing_and_says_why(tmp_path: Path) -> None:
    facts = shop([Line(f"m{i}", float(day)) for i in range(12) for day in range(0, 30, 1 + i % 4)])
    snapshots = Snapshots(facts)

    outcomes = list(train(steps(snapshots), tmp_path / "mlruns", snapshots, who="me", clock=lambda: TRAINED_AT))

    expected = ["churn", "churn", "tier", "value", "value", "segments", "recommender"]
    assert [outcome.step.model for outcome in outcomes] == expected
    assert {outcome.step.model for outcome in outcomes} == set(MODELS)
    for outcome in outcomes:
        assert ("there are 30, from 2024-01-01" if outcome.step.model != "recommender" else "20 items") in outcome.refused
        assert "Instead: " in outcome.refused
        assert outcome.trained is None
        assert outcome.registered is None
    assert snapshot_days(facts) == []
    assert registered_models(tmp_path / "mlruns") == []
    with pytest.raises(NotEnoughData) as caught:
        train_churn(snapshots, engine="xgboost")
    assert caught.value.exit_code == 20
    assert caught.value.remedy


def test_members_who_never_leave_train_no_churn_model(tmp_path: Path) -> None:
    facts = shop([Line(f"m{i}", float(day)) for i in range(6) for day in range(i, 220, 7)])

    short = Snapshots(facts)
    (outcome,) = train(steps(short, ("churn",))[:1], tmp_path / "mlruns", short, who="me", clock=lambda: TRAINED_AT)

    assert "6 bought again within 28 days, 0 did not" in outcome.refused


def test_snapshots_prepared_are_the_ones_that_training_asks_for(facts: Facts) -> None:
    churn, spending = churn_days(facts, ChurnDefinition()), spending_days(facts)

    assert snapshot_days(facts) == sorted({*churn, *spending})
    assert snapshot_days(facts, ("tier",)) == snapshot_days(facts, ("value",)) == sorted(spending)
    assert snapshot_days(facts, ("recommender",)) == []
