"""Gamma-Gamma against the archived library `lifetimes` and against the process it describes; and BG/NBD's purchases to come."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from features.errors import NotEnoughData
from training import bgnbd
from training.gammagamma import GammaGamma, fit, log_likelihood

PAPER = GammaGamma(p=6.25, q=3.74, v=15.44)
"""Section 4 of Fader and Hardie 2013: the 946 of 2,357 customers of CDNOW who bought again, in dollars."""


@pytest.fixture(scope="module")
def lifetimes() -> ModuleType:
    """The oracle, whose last release is older than pandas 3."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it sets options that pandas has dropped, and always will: it is archived
        import lifetimes
    return lifetimes


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """2,357 customers of CDNOW."""
    found = find_spec("lifetimes")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "datasets"
    return pd.read_csv(folder / "cdnow_customers_summary_with_transactions.csv", index_col=0)


@pytest.fixture(scope="module")
def cdnow(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Those who bought again: how often, and the mean of what they paid."""
    again = table[table["x"] > 0]
    return {"count": again["x"].to_numpy(dtype=np.float64), "mean": again["zbar"].to_numpy(dtype=np.float64)}


@pytest.fixture(scope="module")
def fitted(cdnow: dict[str, np.ndarray]) -> GammaGamma:
    """Our fit of CDNOW."""
    return fit(**cdnow)


def test_parameters_are_those_of_the_paper(fitted: GammaGamma) -> None:
    np.testing.assert_allclose([fitted.p, fitted.q, fitted.v], [PAPER.p, PAPER.q, PAPER.v], rtol=0.02)


def test_the_fit_is_at_least_as_likely_as_that_of_lifetimes(
    lifetimes: ModuleType, fitted: GammaGamma, cdnow: dict[str, np.ndarray]
) -> None:
    theirs = lifetimes.GammaGammaFitter().fit(cdnow["count"], cdnow["mean"])
    same = GammaGamma(**{name: float(theirs.params_[name]) for name in ("p", "q", "v")})

    figure = -len(cdnow["count"]) * float(theirs._negative_log_likelihood_)
    assert log_likelihood(same, **cdnow) == pytest.approx(figure, rel=1e-6)
    assert log_likelihood(fitted, **cdnow) >= figure - 0.01
    expected = theirs.conditional_expected_average_profit(pd.Series(cdnow["count"]), pd.Series(cdnow["mean"])).to_numpy()
    np.testing.assert_allclose(same.expected_amount(**cdnow), expected, rtol=1e-9)


def test_money_in_another_unit_changes_nothing_but_the_unit(fitted: GammaGamma, cdnow: dict[str, np.ndarray]) -> None:
    cents = fit(count=cdnow["count"], mean=cdnow["mean"] * 100)

    np.testing.assert_allclose([cents.p, cents.q, cents.v], [fitted.p, fitted.q, fitted.v * 100], rtol=1e-3)


def test_parameters_of_a_simulated_shop_are_found_again() -> None:
    generator = np.random.default_rng(4)
    count = generator.integers(1, 20, 6000).astype(np.float64)
    rate = generator.gamma(4.0, 1 / 30.0, 6000)

    found = fit(count=count, mean=generator.gamma(3.0 * count) / rate / count)

    np.testing.assert_allclose([found.p, found.q, found.v], [3.0, 4.0, 30.0], rtol=0.1)


def test_who_bought_little_is_drawn_to_the_mean_of_all() -> None:
    model, all_members = GammaGamma(6.0, 4.0, 15.0), 6.0 * 15.0 / 3.0

    found = model.expected_amount(count=np.array([0.0, 1.0, 5.0, 500.0]), mean=np.array([0.0, 90.0, 90.0, 90.0]))

    assert found[0] == pytest.approx(all_members)
    assert all_members < found[1] < found[2] < found[3] < 90
    assert found[3] == pytest.approx(90, rel=0.01)


def test_amounts_without_a_finite_fit_are_refused() -> None:
    ones = np.ones(50)
    with pytest.raises(NotEnoughData, match="more than one day"):
        fit(count=ones, mean=np.linspace(1, 9, 50))
    with pytest.raises(NotEnoughData, match=r"no finite fit|infinite mean"):
        fit(count=ones * 5, mean=ones * 10)  # all alike: p and q run to infinity
    with pytest.raises(NotEnoughData, match=r"no finite fit|infinite mean"):
        fit(count=ones * 5, mean=10 ** np.linspace(0, 14, 50))  # tails without a mean


def test_purchases_to_come_are_those_of_lifetimes(lifetimes: ModuleType, table: pd.DataFrame) -> None:
    repeats, last, age = (table[name].to_numpy(dtype=np.float64) for name in ("x", "t_x", "T"))
    theirs = lifetimes.BetaGeoFitter().fit(repeats, last, age)
    same = bgnbd.BgNbd(**{name: float(theirs.params_[name]) for name in ("r", "alpha", "a", "b")})

    for weeks in (1.0, 39.0):
        expected = theirs.conditional_expected_number_of_purchases_up_to_time(weeks, repeats, last, age)
        np.testing.assert_allclose(same.expected_purchases(weeks, repeats=repeats, last=last, age=age), expected, rtol=1e-6)


def test_purchases_to_come_stay_finite_where_the_formula_does_not() -> None:
    history = {
        "repeats": np.array([0.0, 3.0, 900.0]),
        "last": np.array([0.0, 80.0, 999.0]),
        "age": np.array([9.0, 90.0, 1000.0]),
    }
    for a in (1.0, 0.999999999, 0.3, 2.5):
        found = bgnbd.BgNbd(0.9, 12.0, a, 4.0).expected_purchases(90, **history)
        assert np.isfinite(found).all()
        assert ((found >= 0) & (found <= 90 * (0.9 + history["repeats"]) / (12 + history["age"]))).all()
