"""How models behave, whatever their figures: names do not matter, silence is a bad sign, chances are chances."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.build import FeatureRows, build
from features.codec import columns_of
from features.contract import CONTRACT
from features.derive import derive, model_columns
from features.facts import Facts
from training.predictors import ChurnPredictor, TierPredictor
from training.registry import CHALLENGER, CHAMPION, load, resolve

COLUMNS = model_columns(CONTRACT)


@pytest.fixture(params=[CHAMPION, CHALLENGER])
def churn(request: pytest.FixtureRequest, mlruns: Path) -> ChurnPredictor:
    """Each churn model."""
    predictor = load(resolve(mlruns, "churn", request.param))
    assert isinstance(predictor, ChurnPredictor)
    return predictor


@pytest.fixture
def tier(mlruns: Path) -> TierPredictor:
    """The tier model."""
    predictor = load(resolve(mlruns, "tier"))
    assert isinstance(predictor, TierPredictor)
    return predictor


@pytest.fixture(scope="module")
def few(facts: Facts) -> pa.Table:
    """Purchases of the first hundred members."""
    purchases = facts.tables["purchases"].to_pyarrow()
    members = sorted(set(purchases["member_id"].to_pylist()) - {None})[:100]
    return purchases.filter(pa.compute.is_in(purchases["member_id"], pa.array(members)))


@pytest.fixture(scope="module")
def few_rows(few: pa.Table, facts: Facts) -> FeatureRows:
    """Their features at the end of the facts."""
    return rows_of(few, facts)


def rows_of(purchases: pa.Table, like: Facts) -> FeatureRows:
    """Features of these purchases in the same shop on the same day."""
    tables = {"purchases": purchases, "items": like.tables["items"].to_pyarrow()}
    return build(Facts.in_memory(tables, time_zone=like.manifest.time_zone), as_of=like.midnight(like.manifest.until_day))


def inputs(rows: FeatureRows) -> np.ndarray:
    return rows.matrix[:, COLUMNS]


def later(rows: FeatureRows, days: int) -> np.ndarray:
    """The same members with the same purchases, asked about after so many more days of silence."""
    return derive(CONTRACT, rows.records, day=rows.day + days, edges=rows.edges)[:, COLUMNS]


def active(rows: FeatureRows) -> np.ndarray:
    return rows.column("days_since_last_purchase") <= 84


def test_a_members_name_does_not_matter(
    few: pa.Table, few_rows: FeatureRows, facts: Facts, churn: ChurnPredictor, tier: TierPredictor
) -> None:
    new_name = {name: f"Z{9_999_999 - int(name) * 7919 % 10_007:07}" for name in few_rows.member_ids.tolist()}
    assert len(set(new_name.values())) == len(new_name)
    names = pa.array([new_name[name] for name in few["member_id"].to_pylist()])
    renamed = rows_of(few.set_column(few.schema.get_field_index("member_id"), "member_id", names), facts)

    for predictor in (churn, tier):
        before = dict(zip(few_rows.member_ids.tolist(), predictor.score(inputs(few_rows)).tolist(), strict=True))
        after = dict(zip(renamed.member_ids.tolist(), predictor.score(inputs(renamed)).tolist(), strict=True))
        assert after == {new_name[name]: score for name, score in before.items()}


def test_the_order_of_purchases_does_not_matter(
    few: pa.Table, few_rows: FeatureRows, facts: Facts, churn: ChurnPredictor
) -> None:
    shuffled = rows_of(few.take(np.random.default_rng(1).permutation(few.num_rows)), facts)

    assert shuffled.member_ids.tolist() == few_rows.member_ids.tolist()
    np.testing.assert_allclose(churn.score(inputs(shuffled)), churn.score(inputs(few_rows)), atol=1e-6)


def test_the_order_of_members_does_not_matter(rows: FeatureRows, churn: ChurnPredictor, tier: TierPredictor) -> None:
    order = np.random.default_rng(2).permutation(len(rows.member_ids))

    for predictor in (churn, tier):
        assert predictor.score(inputs(rows)[order]).tobytes() == predictor.score(inputs(rows))[order].tobytes()


def test_more_silence_never_lowers_the_mean_risk(rows: FeatureRows, churn: ChurnPredictor) -> None:
    waiting = [0, 3, 7, 14, 21, 28]
    risk = [churn.score(later(rows, days)[active(rows)]).mean() for days in waiting]

    assert (np.diff(risk) >= 0).all(), dict(zip(waiting, risk, strict=True))
    assert risk[-1] > risk[0] + 0.1


def test_hardly_anyone_is_safer_after_a_month_of_silence(rows: FeatureRows, churn: ChurnPredictor) -> None:
    now, then = churn.score(inputs(rows)[active(rows)]), churn.score(later(rows, 28)[active(rows)])

    assert (then < now - 0.05).mean() < 0.02


def test_who_bought_lately_is_safer_than_who_is_long_silent(facts: Facts, churn: ChurnPredictor) -> None:
    lately, silent = [], []
    for days_ago in (0, 60, 120):
        rows = build(facts, as_of=facts.midnight(facts.manifest.until_day - days_ago))
        since, score = rows.column("days_since_last_purchase"), churn.score(inputs(rows))
        lately += score[since <= 1].tolist()
        silent += score[since >= 60].tolist()

    assert len(lately) > 50
    assert len(silent) > 10
    assert np.mean(silent) > np.mean(lately) + 0.3


def test_a_purchase_today_lowers_the_risk_of_members_silent_for_sixty_days(rows: FeatureRows, churn: ChurnPredictor) -> None:
    regular = active(rows) & (columns_of(rows.records)["purchase_days"] >= 3)
    records = rows.records[regular].copy()
    silent = derive(CONTRACT, records, day=rows.day + 60, edges=rows.edges)[:, COLUMNS]
    records["last_purchase_day"] = rows.day + 60
    for days in (7, 30, 90, 180, 365):
        records[f"purchases_{days}d"] += 1
        records[f"purchase_days_{days}d"] += 1
    back = derive(CONTRACT, records, day=rows.day + 60, edges=rows.edges)[:, COLUMNS]

    assert churn.score(back).mean() < churn.score(silent).mean() - 0.1


def test_risks_are_probabilities_and_not_all_the_same(rows: FeatureRows, churn: ChurnPredictor) -> None:
    risk = churn.score(inputs(rows))

    assert ((risk >= 0) & (risk <= 1)).all()
    assert risk.std() > 0.05
    assert {churn.band(p) for p in risk.tolist()} == {"low", "medium", "high"}


def test_tier_chances_sum_to_one(rows: FeatureRows, tier: TierPredictor) -> None:
    chances = tier.score(inputs(rows))

    assert chances.shape == (len(rows.member_ids), 3)
    assert ((chances >= 0) & (chances <= 1)).all()
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-6)


def test_who_spends_more_is_expected_in_a_higher_tier(rows: FeatureRows, tier: TierPredictor) -> None:
    expected = tier.score(inputs(rows)) @ np.array([0, 1, 2])
    by_spend = np.array_split(np.argsort(rows.column("spend_cents_90d"), kind="stable"), 5)

    assert (np.diff([expected[fifth].mean() for fifth in by_spend]) > 0).all()


def test_scoring_an_unknown_newcomer_gives_an_answer(churn: ChurnPredictor, tier: TierPredictor) -> None:
    nothing = np.full((1, len(COLUMNS)), np.nan, dtype=np.float32)

    assert 0 <= churn.score(nothing)[0] <= 1
    assert tier.score(nothing).sum() == pytest.approx(1)
