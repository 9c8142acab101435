"""Money: counted by hand on ten members, and bounded by what nobody can beat."""

from dataclasses import replace

import numpy as np
import pytest

from features.errors import ConfigurationError
from training.evaluation.campaign import Campaign, caught_at, net_gain, plan, planned_share, value_curve
from training.evidence import Evidence, Judged
from training.periods import Period

CAMPAIGN = Campaign(contact_cost=1.0, kept_gain=20.0, success_rate=0.25)
RISK = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.15, 0.1, 0.1, 0.05, 0.05])
LEFT = np.array([True, True, False, True, False, False, True, False, False, False])


def ten_members(others: dict[str, np.ndarray] | None = None) -> Evidence:
    ids = np.array([f"m{row}" for row in range(10)])
    judged = Judged(Period(28, (0,), 28, 56, 84), ids, LEFT, RISK, others or {}, {})
    return Evidence("churn", "xgboost", {"horizon_days": 28}, (judged,))


def test_break_even_is_where_a_contact_pays_for_itself() -> None:
    assert CAMPAIGN.break_even == pytest.approx(0.2)  # 0.2 x 0.25 x 20 = 1
    assert Campaign(success_rate=0.0).break_even == np.inf


def test_the_plan_by_hand() -> None:
    share = planned_share(ten_members(), CAMPAIGN)
    found = plan(ten_members(), CAMPAIGN, share, seed=1, draws=50)

    assert share == 0.5  # five members above 0.2
    assert found.contacted == 500
    assert found.catches.value == pytest.approx(300)  # three of the five left
    assert found.waste.value == pytest.approx(200)
    assert found.kept == pytest.approx(75)
    assert found.net.value == pytest.approx(75 * 20 - 500)
    assert found.waste.low == pytest.approx(500 - found.catches.high)


def test_capacity_limits_the_plan_and_the_best_share() -> None:
    tight = replace(CAMPAIGN, capacity=0.2)

    assert planned_share(ten_members(), tight) == 0.2
    assert value_curve(ten_members(), tight, seed=1, draws=5).best <= 0.2


def test_the_curve_goes_through_counted_points_and_its_best_share_is_the_highest_of_them() -> None:
    curve = value_curve(ten_members(), CAMPAIGN, seed=1, draws=20)
    counted = [1000 * (LEFT[:top].sum() * 0.25 * 20 - top) / 10 for top in range(11)]

    assert curve.net[::10] == pytest.approx(counted)
    assert curve.best == pytest.approx(0.7)  # four of the first seven left: 4 x 5 - 7 is the most
    assert (curve.low <= curve.high).all()
    assert curve.net[0] == 0


def test_weights_are_as_many_members() -> None:
    evidence, counts = ten_members(), np.array([2.0, 0, 1, 1, 0, 3, 1, 1, 0, 1])
    written_out = np.repeat(LEFT, counts.astype(int))  # already in the order of the risk

    caught = caught_at(evidence.judged, [RISK], 0.4)(counts)

    assert caught == pytest.approx(written_out[:4].sum() * 100)


def test_gain_over_a_baseline_is_the_difference_of_what_both_catch() -> None:
    evidence = ten_members({"reversed": -RISK, "same": RISK * 2})

    assert net_gain(evidence, "same", CAMPAIGN, 0.3, seed=1, draws=20).value == 0
    assert net_gain(evidence, "same", CAMPAIGN, 0.3, seed=1, draws=20).verdict == "no gain shown"
    assert net_gain(evidence, "reversed", CAMPAIGN, 0.3, seed=1, draws=20).value == pytest.approx((200 - 100) * 5)


def test_nobody_is_contacted_where_no_contact_pays() -> None:
    dear = replace(CAMPAIGN, contact_cost=10.0)

    assert planned_share(ten_members(), dear) == 0
    assert plan(ten_members(), dear, 0.0, seed=1, draws=5).net.value == 0
    assert value_curve(ten_members(), dear, seed=1, draws=5).best == 0


@pytest.mark.parametrize(
    "wrong", [{"contact_cost": -1.0}, {"success_rate": 1.5}, {"capacity": -0.1}, {"kept_gain": float("nan")}]
)
def test_impossible_assumptions_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=r"is (-|1\.5|nan)"):
        Campaign(**wrong)
