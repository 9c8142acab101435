"""Tier models of the slice beside honest baselines, and what training refuses."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from shops import Line, shop

from features.errors import NotEnoughData
from features.facts import Facts
from training.churn import ChurnDefinition, churn_days, train_churn
from training.datasets import Snapshots, examples
from training.evaluation import quadratic_weighted_kappa
from training.labels import spend_within
from training.pipeline import MODELS, snapshot_days, steps, train
from training.predictors import TierPredictor
from training.registry import registered_models, resolve
from training.spending import spending_days
from training.tier import TIERS, TierDefinition, tier_cutoffs, tier_definition, tier_label, train_tier
from training.trained import Trained

TRAINED_AT = datetime(2018, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def trained_tier(snapshots: Snapshots) -> Trained:
    """Tier, trained once more."""
    return train_tier(snapshots)


def test_tier_thresholds_cut_at_sixty_and_ninety_percent() -> None:
    lines = [Line(f"m{i:03}", 0.0) for i in range(100)] + [Line(f"m{i:03}", 20.0, cents=100 * (i + 1)) for i in range(100)]
    facts = shop([*lines, Line(None, 120.0)])

    definition = tier_definition(Snapshots(facts), [facts.manifest.first_day + 10], 90)

    assert (definition.gold_from_cents, definition.diamond_from_cents) == (6000, 9000)
    tiers = definition.tier_of(np.array([100 * (i + 1) for i in range(100)]))
    assert np.bincount(tiers).tolist() == [59, 30, 11]  # whoever spends just the threshold is in the tier it begins
    assert definition.tier_of(np.array([5999, 6000, 8999, 9000, -50, 0])).tolist() == [0, 1, 1, 2, 0, 0]
    assert definition.tiers == TIERS == ("regular", "gold", "diamond")


def test_tier_thresholds_are_those_of_the_training_snapshots(trained_tier: Trained, snapshots: Snapshots, facts: Facts) -> None:
    definition = trained_tier.predictor.manifest.definition
    spent = np.concatenate(
        [
            spend_within(facts, snapshots.at(day).member_ids.tolist(), day=day, horizon_days=90)
            for day in tier_cutoffs(facts, horizon_days=90).train
        ]
    )

    assert (spent < definition["gold_from_cents"]).mean() == pytest.approx(0.6, abs=0.01)
    assert (spent >= definition["diamond_from_cents"]).mean() == pytest.approx(0.1, abs=0.01)


def test_members_who_all_spend_the_same_have_no_tiers() -> None:
    facts = shop([Line(f"m{i}", float(day), cents=500) for i in range(8) for day in range(0, 280, 10)])

    with pytest.raises(NotEnoughData, match="too much alike"):
        train_tier(Snapshots(facts))


def test_the_tier_baseline_is_the_tier_of_the_last_ninety_days(trained_tier: Trained, facts: Facts) -> None:
    orders = facts.tables["orders"].select("member_id", "local_day", "net_cents").to_pyarrow().to_pydict()
    day = tier_cutoffs(facts, horizon_days=90).test
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for member, when, cents in zip(orders["member_id"], orders["local_day"], orders["net_cents"], strict=True):
        if when < day:
            before.setdefault(member, 0)
            before[member] += cents if when >= day - 90 else 0
        else:
            after[member] = after.get(member, 0) + cents
    definition = TierDefinition(**trained_tier.predictor.manifest.definition)
    stays, actual = (definition.tier_of(np.array([spent.get(m, 0) for m in sorted(before)])) for spent in (before, after))

    assert trained_tier.baselines["persistence"]["rows"] == len(before) == trained_tier.metrics["rows"]
    assert trained_tier.baselines["persistence"]["accuracy"] == pytest.approx((stays == actual).mean())
    assert trained_tier.baselines["persistence"]["qwk"] == pytest.approx(quadratic_weighted_kappa(actual, stays))


def test_tier_metrics_are_those_of_the_shipped_model(trained_tier: Trained, snapshots: Snapshots, facts: Facts) -> None:
    predictor = trained_tier.predictor
    assert isinstance(predictor, TierPredictor)
    definition = TierDefinition(**predictor.manifest.definition)
    test = examples(snapshots, [tier_cutoffs(facts, horizon_days=90).test], tier_label(facts, definition))

    predicted = predictor.likely_tier(predictor.score(test.matrix))

    assert trained_tier.metrics["accuracy"] == (predicted == test.labels).mean()
    assert trained_tier.metrics["qwk"] > 0.6
    assert set(np.unique(predicted)) == {0, 1, 2}
    assert trained_tier.metrics["fewer_steps_off_low"] < trained_tier.metrics["fewer_steps_off_high"]


def test_the_tier_model_is_the_same_every_time(trained_tier: Trained, mlruns: Path) -> None:
    assert isinstance(trained_tier.predictor, TierPredictor)

    assert trained_tier.predictor.model.to_bytes() == (resolve(mlruns, "tier").bundle / "model.json").read_bytes()


def test_a_month_of_facts_trains_nothing_and_says_why(tmp_path: Path) -> None:
    facts = shop([Line(f"m{i}", float(day)) for i in range(12) for day in range(0, 30, 1 + i % 4)])
    snapshots = Snapshots(facts)

    outcomes = list(train(steps(snapshots), tmp_path / "mlruns", snapshots, who="me", clock=lambda: TRAINED_AT))

    assert [outcome.step.model for outcome in outcomes] == ["churn", "churn", "tier", "value", "value", "recommender"]
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
    churn, tier = churn_days(facts, ChurnDefinition()), tier_cutoffs(facts, horizon_days=90).days

    assert snapshot_days(facts) == sorted({*churn, *tier, *spending_days(facts)})
    assert snapshot_days(facts, ("tier",)) == sorted(tier)
    assert snapshot_days(facts, ("recommender",)) == []
