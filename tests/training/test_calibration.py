"""Calibration: it ships where it helps, and nothing is changed where it does not."""

import numpy as np
import pytest

from training.calibration import calibrator_over_time, coverage, fit_calibrator, interval_table, isotonic, platt
from training.evaluation import expected_calibration_error
from training.predictors import Calibrator

IDENTITY = Calibrator()


def world(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities, and what came of them."""
    generator = np.random.default_rng(seed)
    truth = generator.beta(1, 4, rows)
    return truth, generator.random(rows) < truth


def distorted(truth: np.ndarray) -> np.ndarray:
    """Too sure of itself, and too high."""
    logit = np.log(truth / (1 - truth))
    return 1 / (1 + np.exp(-(2.5 * logit + 1.5)))


def test_a_distorted_probability_is_set_right() -> None:
    truth, happened = world(4000, seed=1)
    fresh_truth, fresh = world(4000, seed=2)

    calibrator = fit_calibrator(distorted(truth), happened, seed=7)
    raw, calibrated = distorted(fresh_truth), calibrator.apply(distorted(fresh_truth))

    assert calibrator != IDENTITY
    assert calibrator.slope == pytest.approx(1 / 2.5, rel=0.15)
    assert calibrator.offset == pytest.approx(-1.5 / 2.5, abs=0.15)
    assert expected_calibration_error(fresh, raw) > 0.05
    assert expected_calibration_error(fresh, calibrated) < 0.02
    assert np.abs(calibrated - fresh_truth).mean() < 0.02


def test_nothing_ships_where_it_does_not_help() -> None:
    truth, happened = world(60, seed=5)
    assert fit_calibrator(truth, happened, seed=7) == IDENTITY


def test_true_probabilities_are_hardly_ever_changed_by_much() -> None:
    changes = []
    for seed in range(20):
        truth, happened = world(1500, seed=seed)
        changes.append(np.abs(fit_calibrator(truth, happened, seed=7).apply(truth) - truth).max())

    assert np.median(changes) < 0.05
    assert changes.count(0.0) >= 10  # overfitting the window is noticed by the other half


def test_a_window_too_small_to_judge_changes_nothing() -> None:
    happened = np.array([True, False, False, False])

    assert fit_calibrator(np.array([0.9, 0.1, 0.2, 0.3]), happened, seed=7) == IDENTITY


def test_the_same_seed_gives_the_same_calibrator() -> None:
    truth, happened = world(500, seed=3)

    assert fit_calibrator(distorted(truth), happened, seed=7) == fit_calibrator(distorted(truth), happened, seed=7)


def test_identity_returns_the_very_numbers() -> None:
    probability = np.array([0.0, 1e-300, 0.1, 1 / 3, 1.0])

    assert IDENTITY.apply(probability).tobytes() == probability.tobytes()


@pytest.mark.parametrize(("slope", "offset"), [(0.4, -0.6), (1.0, 0.5), (3.0, 0.0)])
def test_calibration_keeps_the_order_and_stays_a_probability(slope: float, offset: float) -> None:
    probability = np.linspace(0, 1, 1001)

    calibrated = Calibrator(slope, offset).apply(probability)

    assert (np.diff(calibrated[1:-1]) > 0).all()
    assert (np.diff(calibrated) >= 0).all()
    assert calibrated.min() >= 0
    assert calibrated.max() <= 1
    assert np.isfinite(calibrated).all()


def test_calibration_by_hand() -> None:
    # logit(0.8) = log 4; half of it is log 2; e^(log 2) / (1 + e^(log 2)) = 2 / 3
    assert Calibrator(0.5, 0.0).apply(np.array([0.8]))[0] == pytest.approx(2 / 3)
    assert Calibrator(1.0, np.log(3)).apply(np.array([0.5]))[0] == pytest.approx(0.75)


def test_a_bend_that_no_line_can_set_right_takes_the_table() -> None:
    truth, happened = world(6000, seed=8)
    bent = np.where(truth < 0.2, truth / 2, 0.1 + (truth - 0.2) * 0.2)
    fresh_truth, _ = world(6000, seed=9)
    fresh_bent = np.where(fresh_truth < 0.2, fresh_truth / 2, 0.1 + (fresh_truth - 0.2) * 0.2)

    calibrator = fit_calibrator(bent, happened, seed=7)

    assert calibrator.method == "isotonic"
    by_table, by_line = calibrator.apply(fresh_bent), platt(bent, happened).apply(fresh_bent)
    assert (
        np.abs(by_table - fresh_truth).mean() < np.abs(by_line - fresh_truth).mean() < np.abs(fresh_bent - fresh_truth).mean()
    )


def test_a_table_keeps_the_order_and_ties_nobody() -> None:
    truth, happened = world(800, seed=10)
    table = isotonic(truth, happened)

    calibrated = table.apply(np.linspace(0, 1, 1001))

    assert (np.diff(calibrated) > 0).all()
    assert (calibrated[0], calibrated[-1]) == (0.0, 1.0)
    assert Calibrator.of({"slope": 1, "offset": 0, "raw": list(table.raw), "share": list(table.share)}) == table


def test_a_score_that_points_the_wrong_way_is_not_turned_round() -> None:
    truth, happened = world(2000, seed=11)

    assert platt(1 - truth, happened) == IDENTITY


def test_intervals_hold_as_often_as_they_say_where_nothing_drifts() -> None:
    inside = []
    for seed in range(12):
        truth, happened = world(3000, seed=100 + seed)
        table = interval_table(truth, happened)
        assert table is not None
        fresh_truth, fresh = world(3000, seed=200 + seed)
        inside.append(coverage(fresh_truth, *table.around(fresh_truth), fresh, group=table.group))

    assert np.mean(inside) == pytest.approx(0.9, abs=0.06)


def test_intervals_do_not_hold_where_the_model_is_off() -> None:
    truth, happened = world(3000, seed=31)
    table = interval_table(truth, happened)
    assert table is not None
    fresh_truth, fresh = world(3000, seed=32)

    twice = np.clip(2 * fresh_truth, 0, 1)
    assert coverage(twice, *table.around(twice), fresh, group=table.group) < 0.4


def test_a_window_too_small_gives_no_interval() -> None:
    truth, happened = world(49, seed=1)

    assert interval_table(truth, happened) is None


def test_what_was_off_twice_is_set_right() -> None:
    (first, came), (second, came_then), (third, came_last) = (world(4000, seed=seed) for seed in (1, 2, 3))

    found = calibrator_over_time((distorted(first), came), (distorted(second), came_then), seed=7)

    assert found.method != "none"
    assert expected_calibration_error(came_last, found.apply(distorted(third))) < 0.02


@pytest.mark.parametrize("drift", [-0.8, 0.8])
def test_a_drift_that_is_over_moves_nobody(drift: float) -> None:
    """The window before was off by a drift in the base rate; the latest is not: the same correction would have been wrong."""
    first, came = world(4000, seed=1)
    second, came_then = world(4000, seed=2)
    drifted = 1 / (1 + np.exp(-(np.log(first / (1 - first)) + drift)))

    assert calibrator_over_time((drifted, came), (second, came_then), seed=7) == IDENTITY
    assert fit_calibrator(drifted, came, seed=7) != IDENTITY  # members of one window alone would have said yes


def test_a_drift_the_other_way_round_is_not_made_up_for() -> None:
    """First too high, then too low: what the latest window says may be over as well."""
    first, came = world(4000, seed=1)
    second, came_then = world(4000, seed=2)
    shifted = [1 / (1 + np.exp(-(np.log(p / (1 - p)) + by))) for p, by in ((first, 0.8), (second, -0.8))]

    assert calibrator_over_time((shifted[0], came), (shifted[1], came_then), seed=7) == IDENTITY


def test_without_an_earlier_window_to_fit_on_members_decide() -> None:
    truth, happened = world(4000, seed=1)
    nobody = np.full(40, 0.2), np.zeros(40, dtype=bool)

    found = calibrator_over_time(nobody, (distorted(truth), happened), seed=7)

    assert found == fit_calibrator(distorted(truth), happened, seed=7) != IDENTITY
    assert calibrator_over_time((distorted(truth), happened), nobody, seed=7) == IDENTITY
