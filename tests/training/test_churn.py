"""Churn of the slice: judged on what it never saw, beside honest baselines, and shipped by the recipe that was judged."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from shops import Line, shop

from features.contract import CONTRACT
from features.errors import ContractMismatch, NotEnoughData
from features.facts import Facts
from training.churn import (
    BANDS,
    ChurnDefinition,
    _plan,
    churn_days,
    churn_label,
    churn_periods,
    engines_for,
    evidence,
    train_churn,
)
from training.churn_definition import MORE_IS_BETTER, MORE_IS_WORSE, definitions, monotone
from training.churn_fit import _members_apart, days_of, require_both, thinned
from training.datasets import Examples, Snapshots, examples
from training.evaluation import binary_report
from training.periods import period_of_today
from training.predictors import BgNbdPredictor, ChurnPredictor
from training.registry import CHALLENGER, CHAMPION, load, recorded_figures, require_contract, resolve
from training.trained import SEED, Trained, code_hash
from training.tuning import Search

DEFINITION = ChurnDefinition()


@pytest.fixture(scope="module")
def trained(snapshots: Snapshots) -> Trained:
    """Churn by XGBoost, trained once more."""
    return train_churn(snapshots, engine="xgboost")


@pytest.fixture(scope="module")
def by_bgnbd(snapshots: Snapshots) -> Trained:
    """Churn by BG/NBD."""
    return train_churn(snapshots, engine="bgnbd")


def prepared(snapshots: Snapshots, *, tuning: bool = False) -> Snapshots:
    """Snapshots that have what training says it will ask for; another day would be built, and be seen."""
    asked = Snapshots(snapshots.facts)
    asked._rows.update({day: snapshots.at(day) for day in churn_days(snapshots.facts, DEFINITION, tuning=tuning)})
    return asked


@pytest.fixture(scope="module")
def by_lightgbm(snapshots: Snapshots) -> tuple[Trained, Snapshots]:
    """Churn by LightGBM from prepared snapshots, and these."""
    asked = prepared(snapshots)
    return train_churn(asked, engine="lightgbm"), asked


@pytest.mark.parametrize("alias", [CHAMPION, CHALLENGER])
def test_churn_ranks_better_than_recency(mlruns: Path, alias: str) -> None:
    metrics, baselines = recorded_figures(mlruns, resolve(mlruns, "churn", alias))

    assert metrics["auc"] > 0.7
    assert metrics["auc"] > baselines["recency"]["auc"]
    assert metrics["lift_top_tenth"] > 2
    assert metrics["brier"] < metrics["rate"] * (1 - metrics["rate"])  # better than the base rate for everyone


def test_every_baseline_stands_beside_churn_in_every_period(trained: Trained) -> None:
    assert trained.evidence is not None
    assert trained.evidence.baselines == ("recency", "rfm_logistic", "bgnbd")
    assert set(trained.baselines) == {"recency", "rfm_logistic", "bgnbd"}
    assert set(trained.baselines["recency"]) == {"auc", "average_precision", "lift_top_tenth"}
    for name in ("rfm_logistic", "bgnbd"):
        assert trained.baselines[name]["rows"] == trained.metrics["rows"]
        assert trained.baselines[name]["rate"] == trained.metrics["rate"]
        assert trained.baselines[name]["auc"] > 0.7


def test_nothing_of_a_test_window_is_known_when_it_is_judged(trained: Trained, snapshots: Snapshots, facts: Facts) -> None:
    assert trained.evidence is not None
    assert [one.period for one in trained.evidence.judged] == list(churn_periods(facts, DEFINITION))
    for one in trained.evidence.judged:
        known = [day for day in days_of(snapshots, one.period, DEFINITION) if day != one.period.test]
        assert max(known) + DEFINITION.horizon_days <= one.period.test


def test_truth_is_what_happened_after_the_test_day(trained: Trained, facts: Facts) -> None:
    assert trained.evidence is not None
    orders = facts.tables["orders"].select("member_id", "local_day", "kind").to_pyarrow().to_pydict()
    sales = [(m, d) for m, d, kind in zip(*orders.values(), strict=True) if kind == "sale"]
    for one in trained.evidence.judged:
        day = one.period.test
        active = {member for member, when in sales if day - 84 <= when < day}
        bought = {member for member, when in sales if day <= when < day + 28}
        assert set(one.member_ids.tolist()) == active
        assert one.truth.tolist() == [member not in bought for member in one.member_ids.tolist()]


def test_the_future_does_not_change_what_was_said_before_it(snapshots: Snapshots, trained: Trained, facts: Facts) -> None:
    assert trained.evidence is not None
    oldest = trained.evidence.judged[0]
    orders = facts.tables["orders"]
    short = replace(
        facts,
        manifest=replace(facts.manifest, until_day=oldest.period.test + 28),
        tables={**facts.tables, "orders": orders.filter(orders.local_day < oldest.period.test + 28)},
    )
    seen = Snapshots(short)
    seen._rows.update({day: snapshots.at(day) for day in days_of(snapshots, oldest.period, DEFINITION)})

    again = evidence(seen, engine="xgboost").judged[-1]

    assert again.period == oldest.period
    assert again.answer.tobytes() == oldest.answer.tobytes()


def test_metrics_are_those_of_the_newest_period(trained: Trained) -> None:
    assert trained.evidence is not None
    newest = trained.evidence.judged[-1]
    report = binary_report(newest.truth.astype(np.bool_), newest.answer)

    assert {name: trained.metrics[name] for name in asdict(report)} == asdict(report)
    assert trained.metrics["auc_period_3"] == report.auc
    assert newest.notes["trees"] >= 5


def test_what_ships_is_refitted_on_all_that_has_matured(trained: Trained, facts: Facts) -> None:
    assert trained.examples is not None
    assert trained.examples.days.max() == facts.manifest.until_day - 28
    assert trained.predictor.manifest.lineage["cutoffs"]["test"] == facts.manifest.until_day
    assert trained.parameters["rows"] == len(trained.examples)


def test_recency_is_judged_by_days_since_the_last_purchase(trained: Trained, snapshots: Snapshots, facts: Facts) -> None:
    rows = snapshots.at(churn_periods(facts, DEFINITION)[-1].test)
    eligible, left = churn_label(facts, DEFINITION)(rows)
    silent = rows.column("days_since_last_purchase")[eligible]
    pairs = [(a > b) + 0.5 * (a == b) for a in silent[left.astype(bool)] for b in silent[~left.astype(bool)]]

    assert trained.baselines["recency"]["auc"] == pytest.approx(np.mean(pairs))


def test_the_same_facts_and_seed_give_the_same_model_to_the_byte(trained: Trained, mlruns: Path) -> None:
    registered = resolve(mlruns, "churn")
    before = load(registered)
    assert isinstance(before, ChurnPredictor)
    assert isinstance(trained.predictor, ChurnPredictor)

    assert trained.predictor.model.to_bytes() == (registered.bundle / "model.json").read_bytes()
    assert trained.predictor.calibrator == before.calibrator
    assert trained.predictor.manifest.parameters == before.manifest.parameters
    assert trained.predictor.golden.tobytes() == before.golden.tobytes()


def test_lightgbm_too_gives_the_same_model(by_lightgbm: tuple[Trained, Snapshots], mlruns: Path) -> None:
    again = by_lightgbm[0].predictor
    assert isinstance(again, ChurnPredictor)

    assert again.model.to_bytes() == (resolve(mlruns, "churn", CHALLENGER).bundle / "model.txt").read_bytes()


def test_the_model_travels_with_its_definition(trained: Trained, facts: Facts) -> None:
    manifest = trained.predictor.manifest

    assert manifest.definition == {"horizon_days": 28, "active_days": 84}
    assert manifest.parameters["bands"] == BANDS
    assert manifest.features == CONTRACT.model_features
    assert manifest.contract_hash == CONTRACT.hash
    assert manifest.lineage["facts_hash"] == facts.manifest.hash
    assert manifest.lineage["code"] == code_hash()
    assert set(trained.plots) == {"reliability.png", "importance.png"}


def test_golden_rows_hold_one_without_any_value(trained: Trained) -> None:
    golden = trained.predictor.golden

    assert golden.shape == (32, len(CONTRACT.model_features))
    assert np.isnan(golden[0]).all()
    assert not np.isnan(golden[1:]).all(axis=1).any()


def test_labels_never_reach_the_features(trained: Trained) -> None:
    names = trained.predictor.manifest.features

    assert not [name for name in names if name in {"lifecycle_stage", "rfm_tier"}]
    assert len(set(names)) == len(names)


def test_a_model_of_other_features_is_refused_before_it_scores(trained: Trained) -> None:
    assert isinstance(trained.predictor, ChurnPredictor)
    require_contract(trained.predictor)
    other = replace(trained.predictor, manifest=replace(trained.predictor.manifest, contract_hash="0" * 64))
    with pytest.raises(ContractMismatch, match="churn was trained on contract 00000000"):
        require_contract(other)


def test_silence_never_lowers_the_risk_and_purchases_never_raise_it(trained: Trained) -> None:
    predictor = trained.predictor
    assert isinstance(predictor, ChurnPredictor)
    assert trained.examples is not None
    known = {name for name in CONTRACT.model_features if monotone(CONTRACT)[CONTRACT.model_features.index(name)]}
    assert known == MORE_IS_WORSE | MORE_IS_BETTER  # every name of the lists is a feature
    rows = trained.examples.matrix[:100]
    for name, sign in (("days_since_last_purchase", 1), ("silence_of_mean_gap", 1), ("purchase_days_90d", -1)):
        probe = np.repeat(rows, 30, axis=0)
        probe[:, CONTRACT.model_features.index(name)] = np.tile(np.linspace(0, 84, 30, dtype=np.float32), 100)
        assert (sign * np.diff(predictor.score(probe).reshape(100, 30), axis=1) >= 0).all(), name


def test_every_probability_lies_in_its_interval(trained: Trained, by_bgnbd: Trained) -> None:
    for one in (trained, by_bgnbd):
        assert one.evidence is not None
        for judged in one.evidence.judged:
            assert judged.low is not None
            assert judged.high is not None
            assert (judged.low >= 0).all()
            assert (judged.low <= judged.answer).all()
            assert (judged.answer <= judged.high).all()
            assert (judged.high <= 1).all()
            assert 0.02 < (judged.high - judged.low).mean() < 0.5


def test_bgnbd_ships_as_a_predictor_of_its_own(by_bgnbd: Trained, snapshots: Snapshots, facts: Facts) -> None:
    predictor = by_bgnbd.predictor
    assert isinstance(predictor, BgNbdPredictor)
    assert predictor.manifest.name == "churn"
    assert predictor.manifest.engine == "bgnbd"
    assert by_bgnbd.evidence is not None
    for judged in by_bgnbd.evidence.judged:  # calibration keeps the order of the baseline, which is not calibrated
        order, baseline = np.argsort(judged.answer, kind="stable"), judged.others["bgnbd"]
        assert (np.diff(baseline[order]) >= -1e-6).all()
    today = examples(snapshots, [facts.manifest.until_day - 28], churn_label(facts, DEFINITION))
    assert predictor.score(today.matrix).mean() == pytest.approx(today.labels.mean(), abs=0.06)


def test_the_first_definition_is_churn_and_others_carry_theirs() -> None:
    found = definitions(("28/84", "60/180"))

    assert found == {"churn": ChurnDefinition(28, 84), "churn_h60_a180": ChurnDefinition(60, 180)}


def test_a_longer_horizon_holds_members_apart_and_keeps_its_name(snapshots: Snapshots) -> None:
    definition = ChurnDefinition(90, 180)
    trained = train_churn(snapshots, engine="xgboost", definition=definition, name="churn_h90_a180")

    assert trained.predictor.manifest.name == "churn_h90_a180"
    assert trained.predictor.manifest.definition == {"horizon_days": 90, "active_days": 180}
    assert trained.evidence is not None
    assert all(one.period.held_out for one in trained.evidence.judged)
    assert trained.metrics["auc"] > 0.6


def test_members_held_apart_are_whole(snapshots: Snapshots, facts: Facts) -> None:
    days = [churn_periods(facts, DEFINITION)[0].train[place] for place in (0, -1)]
    parts = _members_apart(examples(snapshots, days, churn_label(facts, DEFINITION)), seed=3)

    sets = [set(part.member_ids.tolist()) for part in parts]
    assert len(set.union(*sets)) == sum(map(len, sets))
    assert sum(map(len, parts)) == len(examples(snapshots, days, churn_label(facts, DEFINITION)))
    assert all(len(group) > 30 for group in sets)


def test_cut_offs_stand_further_apart_where_rows_are_too_many(
    snapshots: Snapshots, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = churn_periods(facts, DEFINITION)[0].train
    assert thinned(snapshots, days, DEFINITION) == days

    monkeypatch.setattr("training.churn_fit.MOST_ROWS", 900)
    kept = thinned(snapshots, days, DEFINITION)
    assert kept[-1] == days[-1]
    assert set(np.diff(kept)) == {np.diff(kept)[0]}
    assert len(kept) * 280 <= 900 < (len(kept) + 2) * 300


def test_prepared_days_are_the_ones_asked_for(by_lightgbm: tuple[Trained, Snapshots], facts: Facts) -> None:
    assert set(by_lightgbm[1]._rows) == set(churn_days(facts, DEFINITION))
    assert max(churn_days(facts, DEFINITION)) <= facts.manifest.until_day


def test_a_search_looks_at_nothing_from_the_oldest_test_on(snapshots: Snapshots, facts: Facts, tmp_path: Path) -> None:
    days = churn_days(facts, DEFINITION, tuning=True)
    asked = prepared(snapshots, tuning=True)

    found = _plan(asked, "xgboost", DEFINITION, Search(2, tmp_path), "churn", SEED).tuned

    assert set(asked._rows) == set(days)
    assert len(list(tmp_path.glob("churn-xgboost-*.json"))) == 1
    assert found.record()["tuning_trials"] == 2
    oldest = churn_periods(facts, DEFINITION)[0].test
    extra = set(days) - set(churn_days(facts, DEFINITION))
    assert all(day + 28 <= oldest for day in extra)


def thin_shop(days: int) -> Facts:
    """Sixty members with rhythms of their own, a third of whom stop some day."""
    generator = np.random.default_rng(3)
    lines = [Line("till", float(days))]
    for member in range(120):
        gap, stops = generator.gamma(2, 6) + 1, generator.uniform(20, 3 * days)
        at = np.cumsum(generator.exponential(gap, 400)) + generator.uniform(0, 30)
        lines += [Line(f"m{member:03}", float(when)) for when in at[at < min(stops, days)]]
    return shop(lines)


def test_four_months_of_facts_are_served_by_bgnbd() -> None:
    facts = thin_shop(120)
    snapshots = Snapshots(facts)
    assert engines_for(facts, DEFINITION) == ("bgnbd",)
    with pytest.raises(NotEnoughData, match="140 days"):
        train_churn(snapshots, engine="xgboost")

    trained = train_churn(snapshots, engine="bgnbd")

    assert isinstance(trained.predictor, BgNbdPredictor)
    assert trained.metrics["auc"] > 0.6
    assert set(trained.baselines) == {"recency", "bgnbd"}


def test_a_degenerate_bgnbd_is_refused_by_name() -> None:
    alike = [Line(f"m{i}", float(i % 7 + day)) for i in range(60) for day in (0, 30, 60)]  # no two differ until the test day
    facts = shop([*alike, *(Line(f"m{i}", 100.0) for i in range(30)), Line("till", 120.0)])

    with pytest.raises(NotEnoughData, match="BG/NBD has no finite fit"):
        train_churn(Snapshots(facts), engine="bgnbd")


def test_facts_too_short_for_anything_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="there are"):
        engines_for(thin_shop(40), DEFINITION)


def test_what_is_to_come_has_windows_like_a_test_period(facts: Facts) -> None:
    today, newest = period_of_today(facts, horizon_days=28), churn_periods(facts, DEFINITION)[-1]

    assert today.test == facts.manifest.until_day == newest.test + 28
    assert (today.validation, today.calibration) == (newest.calibration, newest.test)


def test_examples_without_two_outcomes_are_refused_by_their_window() -> None:
    rows = Examples(np.array(["a", "b"]), np.zeros(2, np.int32), np.zeros((2, 1), np.float32), np.array([True, True]))
    with pytest.raises(NotEnoughData, match="the validation window of churn has 2 members and a single outcome"):
        require_both(rows, "validation")
