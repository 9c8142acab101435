"""One visit more: the same aggregates as if it had really happened, and no answer where there is no such visit."""

import numpy as np
import pytest
from shops import Event, Line, shop

from features.build import FeatureRows, build
from features.codec import columns_of
from features.contract import CONTRACT
from features.facts import Facts
from training.predictors import ChurnPredictor, TierPredictor
from training.predictors.counterfactual import one_visit, with_one_order

DAYS = (0, 9, 21, 34, 40)
ANN = [Line("ann", day, 1500, discount=500, channel="app", store=None) for day in DAYS]
BOB = [Line("bob", day, 3000) for day in (3, 30)]


def as_of(facts: Facts, day: int) -> FeatureRows:
    return build(facts, as_of=facts.midnight(day))


@pytest.fixture(scope="module")
def small() -> FeatureRows:
    """Two members with purchases of one kind each, and one who only looks, twenty days after the last purchase."""
    facts = shop([*ANN, *BOB], events=[Event("eve", 5)])
    return as_of(facts, facts.manifest.first_day + 60)


def test_one_order_moves_the_aggregates_as_a_real_one_does(small: FeatureRows) -> None:
    real = shop([*ANN, *BOB, Line("ann", 60, 1500, discount=500, channel="app", store=None), Line("bob", 60, 3000)])
    expected = as_of(real, small.day + 1)
    bought = np.isin(small.member_ids, ["ann", "bob"])

    found = with_one_order(CONTRACT, small.records[bought], small.matrix[bought], day=small.day)

    assert expected.member_ids.tolist() == small.member_ids[bought].tolist()
    of_all_time = [
        a.name for a in CONTRACT.aggregates if a.freshness == "event" and a.table.name == "orders" and a.days is None
    ]
    recent = [a.name for a in CONTRACT.aggregates if a.freshness == "event" and a.table.name == "orders" and a.days == 180]
    assert len(of_all_time) > 10
    assert len(recent) > 20
    for name in (*of_all_time, *recent):  # no window of 180 days loses a purchase from one day to the next here
        moved, happened = columns_of(found)[name], columns_of(expected.records)[name]
        np.testing.assert_allclose(moved, happened, rtol=1e-14, err_msg=name)  # decayed totals round; all others are whole


@pytest.mark.parametrize("name", ["churn-xgboost", "tier"])
def test_nobody_who_never_bought_or_bought_today_has_another_score(
    predictors: dict[str, ChurnPredictor | TierPredictor], small: FeatureRows, name: str
) -> None:
    found = one_visit(predictors[name], CONTRACT, small.records, day=small.day, edges=small.edges)
    today = one_visit(predictors[name], CONTRACT, small.records, day=small.day - 20, edges=small.edges)
    ann, bob, eve = (small.member_ids.tolist().index(member) for member in ("ann", "bob", "eve"))

    assert found.before.shape == found.after.shape
    assert np.isfinite(found.before).all()
    assert np.isfinite(found.after[[ann, bob]]).all()
    assert np.isnan(found.after[eve]).all()
    assert np.isnan(today.after[ann]).all()


def test_a_batch_changes_as_its_rows_do_one_by_one(
    predictors: dict[str, ChurnPredictor | TierPredictor], small: FeatureRows
) -> None:
    churn = predictors["churn-xgboost"]
    whole = one_visit(churn, CONTRACT, small.records, day=small.day, edges=small.edges)
    single = [
        one_visit(churn, CONTRACT, small.records[row : row + 1], day=small.day, edges=small.edges).after for row in range(3)
    ]

    assert np.concatenate(single).tobytes() == whole.after.tobytes()
