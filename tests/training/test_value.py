"""Value on made-up members whose spend can be seen by eye, and on the slice of Complete Journey over its test periods."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shops import Line, shop

from features.build import FeatureRows
from features.contract import CONTRACT
from features.errors import NotEnoughData
from features.facts import Facts
from training.audit import last_verdict
from training.boosting import Recipe
from training.candidacy import recorded_contender
from training.datasets import Examples, Snapshots
from training.evaluation import spearman, total_bias
from training.evaluation.campaign import Campaign
from training.evaluation.summary import summarise
from training.evidence import Evidence
from training.forecast import OBJECTIVES, PARAMETERS, amount_table, coverage, fit_forecast, formula_total
from training.histories import windows, with_history
from training.labels import spend_within
from training.periods import Period
from training.predictors import Engine, ValuePredictor
from training.registry import load, recorded_figures, resolve
from training.requirements import check_model
from training.spending import (
    MORE_IS_MORE,
    bgnbd_gamma_gamma,
    member_folds,
    monotone,
    spending_days,
    spending_periods,
)

ENGINES: tuple[Engine, ...] = ("xgboost", "lightgbm")
COLUMN = {name: place for place, name in enumerate(CONTRACT.model_features)}


def spenders(rows: int = 1500, *, returned: float = 0.0, seed: int = 3) -> Examples:
    """Members who spend about what they spent in the last 90 days; a share of them only brings things back."""
    generator = np.random.default_rng(seed)
    matrix = np.full((rows, len(COLUMN)), np.nan, dtype=np.float32)
    past = generator.gamma(1.0, 20_000, rows)
    matrix[:, COLUMN["spend_cents_90d"]] = past
    matrix[:, COLUMN["purchases_90d"]] = generator.poisson(5, rows)
    spent = past * generator.gamma(4.0, 0.25, rows)
    spent[generator.random(rows) < returned] *= -0.5
    members = np.array([f"m{row % (rows // 3):04}" for row in range(rows)])
    return Examples(members, np.full(rows, 100, dtype=np.int32), matrix, spent.astype(np.int64))


def recipe(engine: Engine = "xgboost") -> Recipe:
    return Recipe(engine, OBJECTIVES[engine], 7, dict(PARAMETERS), monotone(CONTRACT))


@pytest.fixture(scope="module")
def proof(mlruns: Path) -> Evidence:
    """Evidence of value on the slice, as its run keeps it."""
    found = recorded_contender(mlruns, resolve(mlruns, "value")).evidence
    assert found is not None
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_who_spent_more_is_forecast_more_and_the_total_is_right(engine: Engine) -> None:
    known, later = spenders(), spenders(seed=4)

    fitted = fit_forecast(recipe(engine), known)

    cents = fitted.cents(later.matrix)
    assert spearman(later.labels.astype(np.float64), cents) > 0.75
    assert abs(total_bias(later.labels.astype(np.float64), cents)) < 0.08
    assert 0.75 < coverage(later.labels.astype(np.float64), *fitted.interval.around(cents)) < 0.86


@pytest.mark.parametrize("engine", ENGINES)
def test_more_spend_never_lowers_value(engine: Engine) -> None:
    rows = spenders(600)
    fitted = fit_forecast(recipe(engine), rows)

    for name in ("spend_cents_90d", "purchases_90d"):
        more = rows.matrix[:200].copy()
        more[:, COLUMN[name]] *= 1.5
        assert (fitted.cents(more) >= fitted.cents(rows.matrix[:200]) - 1e-9).all()
    assert {"spend_cents_90d", "purchases_90d", "spend_cents_ever"} <= MORE_IS_MORE <= set(CONTRACT.model_features)


def test_heavy_returns_are_taken_off_the_total() -> None:
    rows = spenders(returned=0.3)

    fitted = fit_forecast(recipe(), rows)

    assert (rows.labels.astype(np.int64) < 0).mean() > 0.25
    assert abs(total_bias(rows.labels.astype(np.float64), fitted.held_out)) < 0.01
    assert fitted.interval.low[-1] < 0


def test_another_currency_gives_the_same_forecast_in_it() -> None:
    rows = spenders(600)
    fitted = fit_forecast(recipe(), rows)
    yen = fit_forecast(recipe(), replace(rows, labels=rows.labels.astype(np.int64) * 150))

    np.testing.assert_allclose(yen.cents(rows.matrix), fitted.cents(rows.matrix) * 150, rtol=1e-4)


def test_forecasts_of_members_held_out_have_not_seen_them() -> None:
    rows = spenders(600)
    folds = list(member_folds(rows, seed=1))

    assert np.sort(np.concatenate([fold.held_out for fold in folds])).tolist() == list(range(600))
    for fold in folds:
        assert not set(rows.member_ids[fold.fitted]) & set(rows.member_ids[fold.held_out])


def test_shops_without_amounts_or_members_are_refused_in_words() -> None:
    rows = spenders(90)
    with pytest.raises(NotEnoughData, match="some spend"):
        fit_forecast(recipe(), replace(rows, labels=np.zeros(90, dtype=np.int64)))
    with pytest.raises(NotEnoughData, match="needs 50 rows"):
        fit_forecast(recipe(), spenders(30))


def test_the_interval_is_that_of_neighbours_in_forecast() -> None:
    generator = np.random.default_rng(2)
    forecast = np.repeat([1_000.0, 50_000.0], 1000)
    spent = forecast * generator.uniform(0.5, 1.5, 2000)

    table = amount_table(forecast, spent)

    low, high = table.around(np.array([1_000.0, 50_000.0]))
    np.testing.assert_allclose(low, [600, 30_000], rtol=0.1)
    np.testing.assert_allclose(high, [1_400, 70_000], rtol=0.1)


def test_sums_over_windows_that_were_cut_short_are_made_whole() -> None:
    rows = spenders(4)
    names = {"spend_cents_90d": 90.0, "spend_cents_180d": 100.0, "purchases_365d": 10.0, "purchases_ever": 10.0}
    for name, value in {**names, "cents_per_purchase_180d": 25.0}.items():
        rows.matrix[:, COLUMN[name]] = value

    later = with_history(rows, CONTRACT, first_day=0, day=200).matrix[0]

    assert later[COLUMN["spend_cents_90d"]] == 90  # 100 days lie behind the row
    assert later[COLUMN["spend_cents_180d"]] == 180
    assert later[COLUMN["purchases_365d"]] == 20  # as much as 200 days can show
    assert later[COLUMN["purchases_ever"]] == 20
    assert later[COLUMN["cents_per_purchase_180d"]] == 25
    assert COLUMN["items_180d"] not in windows(CONTRACT)
    assert rows.matrix[0, COLUMN["spend_cents_180d"]] == 100


def test_the_periods_of_spending_know_nothing_of_their_test_windows(facts: Facts) -> None:
    found = spending_periods(facts)

    assert len(found) == 3
    for period in found:
        assert period.held_out
        assert period.train[-1] + period.horizon_days <= period.test
    assert set(spending_days(facts)) >= {day for period in found for day in period.days}


def test_the_formula_is_the_product_of_its_two_halves(snapshots: Snapshots, facts: Facts) -> None:
    rows: FeatureRows = snapshots.at(spending_periods(facts)[0].test)
    answer = bgnbd_gamma_gamma(rows, horizon_days=90)
    spent = spend_within(facts, rows.member_ids.tolist(), day=rows.day, horizon_days=90).astype(np.float64)

    assert (answer >= 0).all()
    assert spearman(spent, answer) > 0.7
    assert abs(total_bias(spent, answer)) < 0.15


def test_a_formula_that_did_not_hold_sets_no_level() -> None:
    busy = [Line(f"m{i}", float(day), cents=100 * (1 + i)) for i in range(30) for day in range(i % 7, 200, 3 + i % 5)]
    steady = Snapshots(shop(busy))
    stopped = Snapshots(shop([line for line in busy if line.at < 100] + [Line("m0", 199.0)]))
    first = steady.facts.manifest.first_day
    period = Period(90, (first + 100,), None, None, first + 195)

    assert formula_total(stopped, period) is None
    total = formula_total(steady, period)
    assert total is None or total > 0


def test_the_slice_is_ranked_better_than_by_past_spend(proof: Evidence, mlruns: Path) -> None:
    assert len(proof.judged) == 3
    for one in proof.judged:
        assert set(one.others) == {"past_spend", "bgnbd_gamma_gamma"}
        assert {"tier", "stage", "channel", "tenure"} == set(one.slices)
        assert one.low is not None
        assert one.high is not None
        inside = coverage(one.truth.astype(np.float64), one.low, one.high)
        assert one.notes["interval_coverage"] == inside
        assert 0.7 < inside < 0.92  # 300 households, asked for .8
    mine, theirs = (
        np.mean([spearman(one.truth.astype(np.float64), answer) for one, answer in answers])
        for answers in (
            [(one, one.answer) for one in proof.judged],
            [(one, one.others["past_spend"]) for one in proof.judged],
        )
    )
    assert mine > theirs - 0.01
    assert recorded_figures(mlruns, resolve(mlruns, "value"))[0]["spearman"] == pytest.approx(
        spearman(proof.judged[-1].truth.astype(np.float64), proof.judged[-1].answer)
    )


def test_truth_is_what_the_facts_say(proof: Evidence, facts: Facts) -> None:
    one = proof.judged[0]
    orders = facts.tables["orders"].to_pyarrow().to_pylist()
    days = range(one.period.test, one.period.test + 90)
    for place in (0, 50, 200):
        mine = [o["net_cents"] for o in orders if o["member_id"] == one.member_ids[place] and o["local_day"] in days]
        assert one.truth[place] == sum(mine)


def test_what_ships_saw_every_label_there_is_and_only_rows_that_the_facts_give(mlruns: Path, facts: Facts) -> None:
    predictor = load(resolve(mlruns, "value"))
    assert isinstance(predictor, ValuePredictor)
    assert predictor.manifest.lineage["cutoffs"]["train"][-1] == facts.manifest.until_day - 90

    for version in ("1", "2"):
        entry = last_verdict(mlruns, "value", version)
        assert entry is not None
        codes = {reason["code"] for reason in entry.verdict["reasons"]}
        assert not codes & {"STALE_FEATURES", "LEAKAGE_SUSPECTED", "LABELS_DISAGREE", "NO_EVIDENCE", "NO_SKILL"}


@pytest.mark.parametrize("engine", ENGINES)
def test_equal_rows_make_equal_bytes(engine: Engine) -> None:
    first, again = (fit_forecast(recipe(engine), spenders(300)) for _ in range(2))

    assert again.model.to_bytes() == first.model.to_bytes()
    assert (again.unit_cents, again.interval) == (first.unit_cents, first.interval)


@pytest.mark.parametrize("model", ["tier", "value"])
def test_a_shop_without_amounts_is_refused_by_name_before_anything_is_trained(model: str) -> None:
    facts = shop([Line(f"m{i}", float(day), cents=0) for i in range(3) for day in range(0, 300, 30)])
    since = {name: day for name, day in facts.manifest.since.items() if name != "amounts"}
    facts = replace(facts, manifest=replace(facts.manifest, since=since))

    check = check_model(facts, model)

    assert not check.ready
    assert "amounts: every amount is 0" in check.refusal()
    assert check.instead


def test_value_and_tier_have_reports_of_their_evidence(proof: Evidence) -> None:
    summary = summarise(proof, campaign=Campaign(), until_day=17_532)

    assert (summary.task, summary.model) == ("amount", "value")
    assert {"past_spend", "bgnbd_gamma_gamma"} <= set(summary.baselines)
    assert 0.7 < summary.figures["coverage"] < 0.92
