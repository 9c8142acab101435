"""Drift: chance does not alarm, movement does, and what does not reach the scores does not matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from features.errors import ConfigurationError
from training.drift import Limits, calibration, effect_of, mapped_back, moved, null_of, psi

LIMITS = Limits()
COUNTS = arrays(np.int64, 5, elements=st.integers(1, 1000))


@given(COUNTS, COUNTS)
def test_psi_is_symmetric_never_negative_and_nothing_where_nothing_moved(then: np.ndarray, now: np.ndarray) -> None:
    index = psi(then[None], now[None])[0]

    assert index == pytest.approx(psi(now[None], then[None])[0], abs=1e-12)
    assert index >= -1e-12
    assert psi(then[None], 3 * then[None])[0] == pytest.approx(0, abs=1e-12)


def test_psi_is_what_the_formula_says() -> None:
    found = psi(np.array([[50, 50]]), np.array([[80, 20]]))[0]

    assert found == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5))


@pytest.mark.parametrize("members", [30, 300, 3000])
def test_chance_does_not_alarm_however_few_members(members: int) -> None:
    generator = np.random.default_rng(3)
    alarms = 0
    for seed in range(150):
        then, now = generator.gamma(1.0, 1.0, (2, members))
        found = moved("x", then, now, limits=Limits(psi=0.0), looked_at=1, seed=seed)
        alarms += bool(found.beyond)

    assert alarms <= 8  # expected: 1.5 of 150 at a chance of 1 %


def test_the_null_shrinks_with_members_and_grows_with_what_is_looked_at() -> None:
    even = np.full(10, 100)

    assert null_of(10 * even, 10 * even, chance=0.01) < null_of(even, even, chance=0.01) / 5
    assert null_of(even, even, chance=0.0001) > null_of(even, even, chance=0.01)


def test_the_null_far_out_agrees_with_many_draws() -> None:
    even, generator = np.full(10, 200), np.random.default_rng(1)
    shares = even / even.sum()
    drawn = psi(generator.multinomial(2000, shares, 200_000), generator.multinomial(2000, shares, 200_000))

    assert null_of(even, even, chance=0.001) == pytest.approx(np.quantile(drawn, 0.999), rel=0.1)


def test_a_shift_and_a_hole_are_told() -> None:
    generator = np.random.default_rng(5)
    then = generator.normal(0, 1, 2000)
    hole = generator.normal(0, 1, 2000)
    hole[:800] = np.nan

    assert moved("x", then, generator.normal(0, 1, 2000), limits=LIMITS, looked_at=170).beyond == ()
    assert moved("x", then, generator.normal(1, 1, 2000), limits=LIMITS, looked_at=170).beyond == ("psi",)
    assert moved("x", then, hole, limits=LIMITS, looked_at=170).beyond == ("psi", "missing")


def test_columns_of_one_value_or_none_do_not_fail() -> None:
    nothing, same = np.full(100, np.nan), np.zeros(100)

    assert moved("x", nothing, nothing, limits=LIMITS, looked_at=1).psi == 0
    assert moved("x", same, same, limits=LIMITS, looked_at=1).beyond == ()
    assert moved("x", same, same + 1, limits=LIMITS, looked_at=1).beyond == ("psi",)
    assert moved("x", nothing, same, limits=LIMITS, looked_at=1).beyond == ("psi", "missing")


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6)), st.integers(0, 9))
def test_values_mapped_back_keep_their_ranks_and_have_the_old_distribution(now: np.ndarray, seed: int) -> None:
    then = np.random.default_rng(seed).normal(0, 1, len(now))

    found = mapped_back(now, then)

    assert sorted(found.tolist()) == sorted(then.tolist())
    assert (np.diff(found[np.argsort(now, kind="stable")]) >= 0).all()


def test_what_the_model_does_not_use_has_no_effect() -> None:
    generator = np.random.default_rng(2)
    matrix = generator.normal(1, 1, (500, 2)).astype(np.float32)
    then = generator.normal(0, 1, 500)

    def score(rows: np.ndarray) -> np.ndarray:
        return rows[:, 0].astype(np.float64)

    assert effect_of(score, matrix, 1, then, score(matrix)) == 0
    assert effect_of(score, matrix, 0, then, score(matrix)) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("bias", "beyond"), [(0.0, ()), (0.1, ("calibration",)), (-0.1, ("calibration",))])
def test_a_cohort_that_did_not_come_true_is_told(bias: float, beyond: tuple[str, ...]) -> None:
    generator = np.random.default_rng(4)
    chance = generator.uniform(0.15, 0.85, 4000)
    happened = generator.random(4000) < chance

    found = calibration(np.clip(chance + bias, 0, 1), happened, day=1, model="churn@1", limits=LIMITS)

    assert found.beyond == beyond
    assert found.low < found.observed - found.predicted < found.high
    assert found.auc == pytest.approx(roc_auc_score(happened, np.clip(chance + bias, 0, 1)))


def test_a_few_members_are_no_evidence_against_a_calibration() -> None:
    happened = np.array([True] * 7 + [False] * 5)

    assert calibration(np.full(12, 0.5), happened, day=1, model="churn@1", limits=LIMITS).beyond == ()
    assert calibration(np.full(5, 0.5), np.ones(5, dtype=bool), day=1, model="churn@1", limits=LIMITS).auc is None


def test_limits_are_chosen_by_name() -> None:
    assert Limits.chosen([("psi", 0.5)]) == Limits(psi=0.5)
    with pytest.raises(ConfigurationError, match="psy"):
        Limits.chosen([("psy", 0.5)])
