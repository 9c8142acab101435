"""Intervals: against naive loops, theory, DeLong's variance, and tables."""

import numpy as np
import pytest
from sklearn import metrics

from training.evaluation import NO_GAIN_SHOWN, Interval, bootstrap, interval_of, member_weights, paired_gain, weighted, wilson


def two_scores(seed: int, rows: int, *, difference: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, a score, and one that carries more or less noise."""
    generator = np.random.default_rng(seed)
    truth = generator.random(rows) < 0.25
    return truth, truth + generator.normal(0, 1.0, rows), truth + generator.normal(0, 1.0 + difference, rows)


def names(rows: int) -> np.ndarray:
    return np.array([f"m{row}" for row in range(rows)])


def test_the_fast_bootstrap_is_the_naive_loop() -> None:
    truth, mine, theirs = two_scores(1, 300, difference=0.3)
    generator = np.random.default_rng(5)
    order = np.argsort(names(300))  # members are drawn from their ids in order
    naive = []
    for _ in range(50):
        picks = order[generator.integers(0, 300, 300)]
        naive.append(metrics.roc_auc_score(truth[picks], mine[picks]) - metrics.roc_auc_score(truth[picks], theirs[picks]))

    drawn = bootstrap({"mine": weighted.auc(truth, mine), "theirs": weighted.auc(truth, theirs)}, names(300), seed=5, draws=50)

    assert drawn["mine"] - drawn["theirs"] == pytest.approx(np.array(naive), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_an_interval_of_an_auc_difference_is_as_wide_as_delongs(seed: int) -> None:
    truth, mine, theirs = two_scores(seed, 1500, difference=0.2)

    found = paired_gain(weighted.auc(truth, mine), weighted.auc(truth, theirs), names(1500), seed=3)

    half = 1.96 * np.sqrt(delong_variance(truth, mine, theirs))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.12)
    assert found.value == pytest.approx(metrics.roc_auc_score(truth, mine) - metrics.roc_auc_score(truth, theirs))


def delong_variance(truth: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> float:
    """Variance of the difference of two AUCs on the same rows (DeLong et al. 1988), pair by pair."""

    def placements(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        left, stayed = score[truth], score[~truth]
        wins = (left[:, None] > stayed[None, :]) + 0.5 * (left[:, None] == stayed[None, :])
        return wins.mean(axis=1), wins.mean(axis=0)

    (left_a, stayed_a), (left_b, stayed_b) = placements(mine), placements(theirs)
    return float(np.var(left_a - left_b, ddof=1) / len(left_a) + np.var(stayed_a - stayed_b, ddof=1) / len(stayed_a))


def test_a_member_counts_as_often_in_every_row_of_theirs() -> None:
    ids = np.array(["a", "b", "a", "c", "b"])

    for weights in member_weights(ids, seed=1, draws=20):
        assert weights[0] == weights[2]
        assert weights[1] == weights[4]
        assert weights[[0, 1, 3]].sum() == 3


def test_rows_of_the_same_members_twice_do_not_make_an_interval_narrower() -> None:
    truth, mine, _ = two_scores(2, 400, difference=0)
    ids = names(400)
    once = bootstrap({"auc": weighted.auc(truth, mine)}, ids, seed=1)["auc"]

    twice = bootstrap({"auc": weighted.auc(np.tile(truth, 2), np.tile(mine, 2))}, np.tile(ids, 2), seed=1)["auc"]

    assert twice == pytest.approx(once, abs=1e-12)


def test_the_interval_of_a_model_against_itself_is_zero_and_shows_no_gain() -> None:
    truth, mine, _ = two_scores(3, 200, difference=0)

    found = paired_gain(weighted.auc(truth, mine), weighted.auc(truth, mine), names(200), seed=1, draws=50)

    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert found.verdict == NO_GAIN_SHOWN == "no gain shown"


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(0.02, 0.01, 0.03), "better"),
        (Interval(-0.02, -0.03, -0.01), "worse"),
        (Interval(0.02, -0.01, 0.05), "no gain shown"),
        (Interval(0.02, 0.0, 0.05), "no gain shown"),
        (Interval(0.02, float("nan"), float("nan")), "no gain shown"),
    ],
)
def test_what_an_interval_shows(interval: Interval, verdict: str) -> None:
    assert interval.verdict == verdict
    assert (-interval).verdict == {"better": "worse", "worse": "better"}.get(verdict, verdict)


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    """The mean difference of two noisy losses is 0.1; the share of intervals that hold it, over 300 samples."""
    held = 0
    for seed in range(300):
        gain = np.random.default_rng(seed).normal(0.1, 1, 150)
        found = paired_gain(weighted.mean(gain), weighted.mean(np.zeros(150)), names(150), seed=seed, draws=200)
        held += found.low <= 0.1 <= found.high

    assert 0.90 <= held / 300 <= 0.985


def test_resamples_without_a_figure_are_left_out() -> None:
    found = interval_of(0.5, np.array([0.4, np.nan, 0.6]))

    assert (found.low, found.high) == (pytest.approx(0.405), pytest.approx(0.595))
    assert np.isnan(interval_of(0.5, np.array([np.nan])).low)


def test_wilson_by_the_published_example() -> None:
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611."""
    assert wilson(81, 263).low == pytest.approx(0.2553, abs=1e-4)
    assert wilson(81, 263).high == pytest.approx(0.3662, abs=1e-4)
    assert wilson(0, 20).low == 0
    assert wilson(0, 20).high == pytest.approx(0.1611, abs=1e-4)
    assert np.isnan(wilson(0, 0).value)
