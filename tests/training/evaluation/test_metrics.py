"""Metrics, each against a value counted by hand or by brute force."""

import itertools

import numpy as np
import pytest

from training.churn_figures import ranking_figures
from training.evaluation import (
    Group,
    adaptive_calibration_error,
    binary_report,
    calibration_error_by_chance,
    expected_calibration_error,
    lift,
    log_loss,
    paired_interval,
    quadratic_weighted_kappa,
    recall_at,
    reliability,
    share_caught,
    spearman,
    total_bias,
)

GENERATOR_SEEDS = range(3)


def outcomes(seed: int, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and probabilities that have something to do with them, with ties."""
    generator = np.random.default_rng(seed)
    probability = np.round(generator.random(rows), 1)
    return generator.random(rows) < 0.1 + 0.6 * probability, probability


@pytest.mark.parametrize("seed", GENERATOR_SEEDS)
def test_auc_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    happened, probability = outcomes(seed)
    pairs = itertools.product(probability[happened], probability[~happened])

    share = np.mean([(left > stayed) + 0.5 * (left == stayed) for left, stayed in pairs])

    assert binary_report(happened, probability).auc == pytest.approx(share, abs=1e-12)


def test_average_precision_is_the_mean_of_precision_at_each_hit() -> None:
    happened = np.array([True, False, True, False, False])
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.5])

    assert binary_report(happened, probability).average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_brier_rows_and_rate() -> None:
    report = binary_report(np.array([True, False, False, False]), np.array([0.5, 0.5, 0.0, 0.2]))

    assert report.brier == pytest.approx((0.25 + 0.25 + 0 + 0.04) / 4)
    assert (report.rows, report.rate) == (4, 0.25)


def test_a_perfect_and_a_reversed_ranking() -> None:
    happened = np.array([True] * 10 + [False] * 90)
    score = np.linspace(1, 0, 100)

    assert binary_report(happened, score).auc == 1
    assert binary_report(happened, 1 - score).auc == 0
    assert binary_report(happened, score).lift_top_tenth == pytest.approx(10)
    assert binary_report(happened, 1 - score).lift_top_tenth == 0


def test_calibration_error_by_hand() -> None:
    probability = np.array([0.1, 0.2, 0.8, 0.9])
    happened = np.array([False, True, True, True])

    # two groups: predicted 0.15 and 0.85, observed 0.5 and 1
    assert expected_calibration_error(happened, probability, groups=2) == pytest.approx((0.35 + 0.15) / 2)
    assert expected_calibration_error(happened, happened.astype(float), groups=2) == 0


def test_calibration_error_weighs_groups_by_size() -> None:
    probability = np.array([0.0, 0.0, 1.0])
    happened = np.array([True, True, True])

    assert expected_calibration_error(happened, probability, groups=2) == pytest.approx(2 / 3)


def test_calibration_error_of_few_rows_is_the_mean_distance() -> None:
    assert expected_calibration_error(np.array([True, False]), np.array([0.7, 0.4])) == pytest.approx((0.3 + 0.4) / 2)


@pytest.mark.parametrize("seed", GENERATOR_SEEDS)
def test_calibration_error_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probability = generator.random(200)
    happened = generator.random(200) < probability
    shuffled = generator.permutation(200)

    one = expected_calibration_error(happened, probability)
    assert expected_calibration_error(happened[shuffled], probability[shuffled]) == pytest.approx(one, abs=1e-12)


def test_lift_by_hand() -> None:
    score = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0, -4.0])
    happened = np.array([True, False, True, False, False, False, False, False, False, False])

    assert lift(happened, score, share=0.1) == pytest.approx(1 / 0.2)
    assert lift(happened, score, share=0.4) == pytest.approx(0.5 / 0.2)
    assert lift(happened, score, share=1.0) == 1
    assert lift(happened, score, share=0.001) == pytest.approx(5)  # never fewer than one member


def test_quadratic_weighted_kappa_by_its_formula() -> None:
    generator = np.random.default_rng(3)
    actual = generator.integers(0, 3, 60)
    predicted = np.clip(actual + generator.integers(-1, 2, 60), 0, 2)
    observed = sum((a - p) ** 2 for a, p in zip(actual, predicted, strict=True)) / 60
    by_chance = sum((a - p) ** 2 for a, p in itertools.product(actual, predicted)) / 60**2

    assert quadratic_weighted_kappa(actual, predicted) == pytest.approx(1 - observed / by_chance)
    assert quadratic_weighted_kappa(actual, actual) == 1
    assert quadratic_weighted_kappa(actual, 2 - actual) < 0


def test_kappa_counts_a_miss_by_two_four_times() -> None:
    actual = np.array([0] * 10 + [1] * 10 + [2] * 10)
    by_one, by_two = actual.copy(), actual.copy()
    by_one[0], by_two[0] = 1, 2

    assert 1 - quadratic_weighted_kappa(actual, by_two) == pytest.approx(
        4 * (1 - quadratic_weighted_kappa(actual, by_one)), rel=0.1
    )


def test_recall_by_hand() -> None:
    lists = np.array([[1, 2, 3], [4, 5, -1], [7, 8, 9], [0, 1, 2]])
    bought: list[set[int]] = [{1, 3, 5, 6}, {6}, set(), {0}]

    assert recall_at(lists, bought) == pytest.approx((2 / 4 + 0 + 1) / 3)  # the third bought nothing and is left out


def test_recall_where_nobody_bought_is_unknown_and_not_zero() -> None:
    assert np.isnan(recall_at(np.array([[1, 2]]), [set()]))


def test_an_interval_without_gain_covers_zero() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 500)

    low, high = paired_interval(noise - noise.mean(), seed=1)

    assert low < 0 < high


def test_an_interval_of_a_clear_gain_or_loss_does_not() -> None:
    gain = np.random.default_rng(0).normal(0.5, 1, 500)

    low, high = paired_interval(gain, seed=1)

    assert 0 < low < gain.mean() < high
    assert paired_interval(-gain, seed=1)[1] < 0


def test_an_interval_is_as_wide_as_the_mean_is_uncertain() -> None:
    gain = np.random.default_rng(2).normal(0, 1, 400)
    by_theory = 2 * 1.96 * gain.std() / np.sqrt(len(gain))

    low, high = paired_interval(gain, seed=1, draws=4000)

    assert high - low == pytest.approx(by_theory, rel=0.1)
    narrow_low, narrow_high = paired_interval(gain, seed=1, draws=4000, level=0.5)
    assert low < narrow_low < narrow_high < high


def test_an_interval_is_the_same_for_the_same_seed_only() -> None:
    gain = np.random.default_rng(2).normal(0, 1, 100)

    assert paired_interval(gain, seed=4) == paired_interval(gain, seed=4)
    assert paired_interval(gain, seed=4) != paired_interval(gain, seed=5)


def test_a_ranking_has_ranking_figures_only() -> None:
    happened, probability = outcomes(1)

    figures = ranking_figures(happened, probability * 300)

    assert set(figures) == {"auc", "average_precision", "lift_top_tenth"}
    assert figures["auc"] == pytest.approx(binary_report(happened, probability).auc)


def test_reliability_by_hand() -> None:
    groups = reliability(np.array([False, True, True, True]), np.array([0.1, 0.2, 0.8, 0.9]), groups=2)

    assert groups == [Group(2, pytest.approx(0.15), 0.5), Group(2, pytest.approx(0.85), 1.0)]


def test_the_adaptive_error_of_reliable_probabilities_is_small_and_of_wrong_ones_is_what_they_are_off() -> None:
    generator = np.random.default_rng(4)
    probability = generator.random(20_000)
    happened = generator.random(20_000) < probability

    assert adaptive_calibration_error(happened, probability) < 0.02
    assert adaptive_calibration_error(happened, np.clip(probability + 0.2, 0, None)) == pytest.approx(0.2, abs=0.02)


def test_the_error_by_chance_is_what_repeated_outcomes_show() -> None:
    generator = np.random.default_rng(5)
    probability = generator.beta(1, 4, 2000)
    repeated = [expected_calibration_error(generator.random(2000) < probability, probability) for _ in range(200)]

    by_chance = calibration_error_by_chance(probability, seed=1)

    assert by_chance == pytest.approx(np.mean(repeated), rel=0.1)
    assert calibration_error_by_chance(np.array([0.0, 1.0, 1.0]), seed=1) == 0


def test_share_caught_by_hand() -> None:
    money = np.array([10.0, 0.0, 30.0, 60.0])

    assert share_caught(money, np.array([1.0, 2.0, 3.0, 4.0]), share=0.5) == pytest.approx(0.9)
    assert share_caught(np.zeros(4), np.arange(4.0), share=0.5) != share_caught(np.zeros(4), np.arange(4.0), share=0.5)


def test_log_loss_by_its_formula_and_without_infinity() -> None:
    assert log_loss(np.array([True, False]), np.array([0.8, 0.4])) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    assert log_loss(np.array([True, False]), np.array([0.0, 0.5])) < 40


def test_spearman_and_bias_by_hand() -> None:
    one = np.array([1.0, 2.0, 3.0, 4.0])

    assert spearman(one, one**3) == 1
    assert spearman(one, np.array([1.0, 2.0, 4.0, 3.0])) == pytest.approx(0.8)
    assert np.isnan(spearman(one, np.ones(4)))
    assert total_bias(one, one * 0.97) == pytest.approx(-0.03)
    assert np.isnan(total_bias(np.zeros(4), one))
