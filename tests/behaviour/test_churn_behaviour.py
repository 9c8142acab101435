"""How models behave, whatever their figures: names do not matter, silence is a bad sign, chances are chances."""

from datetime import datetime, time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.build import FeatureRows, build
from features.contract import CONTRACT
from features.days import calendar_day
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


def rows_of(purchases: pa.Table, like: Facts, *, day: int | None = None) -> FeatureRows:
    """Features of these purchases in the same shop, at the end of its facts if no other day is named."""
    tables = {"purchases": purchases, "items": like.tables["items"].to_pyarrow()}
    moment = like.midnight(like.manifest.until_day if day is None else day)
    return build(Facts.in_memory(tables, time_zone=like.manifest.time_zone), as_of=moment)


def one_more(purchases: pa.Table, member: str, day: int) -> pa.Table:
    """The last order line of a member once more, at noon UTC of another day, as an order of its own."""
    sales = pa.compute.and_(pa.compute.equal(purchases["member_id"], member), pa.compute.equal(purchases["kind"], "sale"))
    last = purchases.filter(sales).sort_by("occurred_at").to_pylist()[-1]
    at_noon = datetime.combine(calendar_day(day), time(12))
    again = {"order_id": f"again-{member}", "line_no": 0, "local_day": day, "occurred_at": at_noon, "local_hour": 7}
    return pa.Table.from_pylist([last | again], schema=purchases.schema)


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
    assert risk[-1] > risk[0]


def test_a_shop_that_falls_silent_sees_its_mean_risk_rise(rows: FeatureRows, facts: Facts, churn: ChurnPredictor) -> None:
    after = build(facts, as_of=facts.midnight(facts.manifest.until_day + 42))
    assert after.member_ids.tolist() == rows.member_ids.tolist()

    assert churn.score(inputs(after)[active(rows)]).mean() > 1.5 * churn.score(inputs(rows)[active(rows)]).mean()


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


def test_a_purchase_lowers_the_risk_of_members_silent_for_sixty_days(
    few: pa.Table, few_rows: FeatureRows, facts: Facts, churn: ChurnPredictor
) -> None:
    day = facts.manifest.until_day + 60
    members = few_rows.member_ids[active(few_rows)]
    returning = set(members[::2].tolist())
    silent = rows_of(few, facts, day=day)
    back = rows_of(pa.concat_tables([few, *(one_more(few, member, day - 1) for member in returning)]), facts, day=day)

    came = np.isin(silent.member_ids, list(returning))
    assert back.column("days_since_last_purchase")[came].tolist() == [1.0] * len(returning)
    assert churn.score(inputs(back)[came]).mean() < churn.score(inputs(silent)[came]).mean() - 0.02


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
