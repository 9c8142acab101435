"""Weighted metrics: equal to the plain ones on rows written out as often as their weight says."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics

from training.evaluation import lift as plain_lift
from training.evaluation import quadratic_weighted_kappa as plain_kappa
from training.evaluation import weighted

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
PAIRS: dict[str, tuple[Callable[..., weighted.Statistic], Callable[..., float]]] = {
    "auc": (weighted.auc, metrics.roc_auc_score),
    "average_precision": (weighted.average_precision, metrics.average_precision_score),
    "spearman": (weighted.spearman, lambda one, other: stats.spearmanr(one, other).statistic),
    "mean": (lambda truth, score: weighted.mean(score), lambda truth, score: float(score.mean())),
    "ratio": (weighted.ratio, lambda truth, score: float(truth.sum() / score.sum())),
}


@st.composite
def some_rows(draw: st.DrawFn) -> Rows:
    """Outcomes of both kinds, scores with ties, and how often each row counts; the first two rows always do."""
    rows = draw(st.integers(4, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = generator.random(rows) < 0.4
    truth[:2] = [True, False]
    score = np.round(generator.random(rows), draw(st.integers(1, 8))) + 0.5
    score[:2] = [0.25, 0.75]
    counts = generator.integers(0, 4, rows)
    counts[:2] = [1, 2]
    return truth, score, counts


@given(some_rows(), st.sampled_from(sorted(PAIRS)))
@settings(max_examples=200)
def test_a_weight_is_as_many_rows(rows: Rows, name: str) -> None:
    truth, score, counts = rows
    fast, plain = PAIRS[name]

    written_out = plain(np.repeat(truth, counts), np.repeat(score, counts))

    assert fast(truth, score)(counts.astype(float)) == pytest.approx(written_out, abs=1e-9)


@given(some_rows(), st.sampled_from([0.1, 0.25, 0.5, 1.0]))
@settings(max_examples=100)
def test_lift_of_weights_is_lift_of_as_many_rows(rows: Rows, share: float) -> None:
    truth, score, counts = rows

    written_out = plain_lift(np.repeat(truth, counts), np.repeat(score, counts), share=share)

    assert weighted.lift(truth, score, share=share)(counts.astype(float)) == pytest.approx(written_out, abs=1e-9)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_kappa_of_weights_is_kappa_of_as_many_rows(seed: int) -> None:
    generator = np.random.default_rng(seed)
    actual, predicted, counts = (generator.integers(0, 3, 30) for _ in range(3))
    actual[:3], predicted[:2], counts[:3] = [0, 1, 2], [0, 2], 1

    written_out = plain_kappa(np.repeat(actual, counts), np.repeat(predicted, counts))

    assert weighted.quadratic_weighted_kappa(actual, predicted)(counts.astype(float)) == pytest.approx(written_out)


def test_what_does_not_exist_is_unknown_and_not_a_warning() -> None:
    ones, same = np.ones(4), np.full(4, 0.5)

    assert np.isnan(weighted.auc(np.zeros(4, dtype=bool), np.arange(4.0))(ones))
    assert np.isnan(weighted.average_precision(np.zeros(4, dtype=bool), np.arange(4.0))(ones))
    assert np.isnan(weighted.lift(np.zeros(4), np.arange(4.0), share=0.5)(ones))
    assert np.isnan(weighted.spearman(same, np.arange(4.0))(ones))
    assert np.isnan(weighted.ratio(same, np.zeros(4))(ones))
    assert np.isnan(weighted.quadratic_weighted_kappa(np.zeros(4, dtype=int), np.zeros(4, dtype=int))(ones))


def test_a_mean_over_periods_takes_each_period_apart() -> None:
    one, other = np.array([True, False, True]), np.array([True, False])
    score: NDArray[np.float64] = np.array([3.0, 2.0, 1.0])
    both = weighted.mean_of([weighted.auc(one, score), weighted.auc(other, score[:2])], [3, 2])

    assert both(np.ones(5)) == pytest.approx((0.5 + 1) / 2)
    assert both(np.array([0.0, 1, 1, 1, 1])) == pytest.approx((0 + 1) / 2)
