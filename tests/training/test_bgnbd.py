"""BG/NBD against two independent answers: the archived library `lifetimes`, and the process it describes, simulated."""

import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from shops import Line, shop

from features.build import build
from features.errors import NotEnoughData
from training.baselines import bgnbd_no_purchase
from training.bgnbd import BgNbd, fit, log_likelihood

PAPER = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
"""Table 2 of Fader, Hardie and Lee 2005: CDNOW, time in weeks."""


@pytest.fixture(scope="module")
def lifetimes() -> ModuleType:
    """The oracle, whose last release is older than pandas 3."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it sets options that pandas has dropped, and always will: it is archived
        import lifetimes
    return lifetimes


@pytest.fixture(scope="module")
def cdnow() -> dict[str, np.ndarray]:
    """2,357 customers of CDNOW: repeats, last and age in weeks."""
    found = find_spec("lifetimes")
    assert found is not None
    assert found.origin is not None
    table = pd.read_csv(Path(found.origin).parent / "datasets" / "cdnow_customers_summary.csv", index_col=0)
    return {
        name: table[column].to_numpy(dtype=np.float64)
        for name, column in (("repeats", "frequency"), ("last", "recency"), ("age", "T"))
    }


@pytest.fixture(scope="module")
def fitted(cdnow: dict[str, np.ndarray]) -> BgNbd:
    """Our fit of CDNOW."""
    return fit(**cdnow)


def parameters(model: BgNbd) -> np.ndarray:
    return np.array([model.r, model.alpha, model.a, model.b])


def test_parameters_are_those_of_the_paper(fitted: BgNbd) -> None:
    np.testing.assert_allclose(parameters(fitted), parameters(PAPER), rtol=0.01)


def test_the_likelihood_is_the_one_of_the_paper(cdnow: dict[str, np.ndarray]) -> None:
    assert log_likelihood(PAPER, **cdnow) == pytest.approx(-9582.4, abs=0.1)  # table 2


def test_the_fit_is_at_least_as_likely_as_that_of_lifetimes(
    lifetimes: ModuleType, fitted: BgNbd, cdnow: dict[str, np.ndarray]
) -> None:
    theirs = lifetimes.BetaGeoFitter().fit(cdnow["repeats"], cdnow["last"], cdnow["age"])
    their_model = BgNbd(**{name: float(theirs.params_[name]) for name in ("r", "alpha", "a", "b")})
    scaled = {"repeats": cdnow["repeats"], "last": cdnow["last"] * theirs._scale, "age": cdnow["age"] * theirs._scale}
    their_figure = -len(cdnow["age"]) * float(theirs._negative_log_likelihood_)  # of the data as it scales them
    their_likelihood = log_likelihood(their_model, **cdnow)

    np.testing.assert_allclose(parameters(fitted), parameters(their_model), rtol=0.03)
    assert log_likelihood(replace(their_model, alpha=their_model.alpha * theirs._scale), **scaled) == pytest.approx(
        their_figure
    )
    assert log_likelihood(fitted, **cdnow) >= their_likelihood - 0.01

    alive = theirs.conditional_probability_alive(cdnow["repeats"], cdnow["last"], cdnow["age"])
    np.testing.assert_allclose(their_model.alive(**cdnow), alive, atol=1e-9)


def test_no_step_away_from_the_fit_is_likelier(fitted: BgNbd, cdnow: dict[str, np.ndarray]) -> None:
    best = log_likelihood(fitted, **cdnow)
    for name in ("r", "alpha", "a", "b"):
        for factor in (0.97, 1.03):
            values = {n: getattr(fitted, n) * (factor if n == name else 1) for n in ("r", "alpha", "a", "b")}
            assert log_likelihood(BgNbd(**values), **cdnow) < best


def test_time_may_be_in_days_or_weeks(fitted: BgNbd, cdnow: dict[str, np.ndarray]) -> None:
    in_days = fit(repeats=cdnow["repeats"], last=7 * cdnow["last"], age=7 * cdnow["age"])

    np.testing.assert_allclose(parameters(in_days), parameters(fitted) * [1, 7, 1, 1], rtol=0.01)
    np.testing.assert_allclose(
        in_days.no_purchase_within(28, repeats=cdnow["repeats"], last=7 * cdnow["last"], age=7 * cdnow["age"]),
        fitted.no_purchase_within(4, **cdnow),
        atol=2e-3,
    )


def by_integration(model: BgNbd, days: float, *, repeats: int, last: float, age: float) -> float:
    """P(no purchase in the next `days`), from draws of rate and leaving chance weighed by the likelihood of the history."""
    generator = np.random.default_rng(0)
    rate = generator.gamma(model.r, 1 / model.alpha, 400_000)
    leaving = generator.beta(model.a, model.b, 400_000)
    stayed = (1 - leaving) ** repeats * rate**repeats * np.exp(-rate * age)
    left = leaving * (1 - leaving) ** (repeats - 1) * rate**repeats * np.exp(-rate * last) if repeats else np.zeros_like(rate)
    return float((stayed * np.exp(-rate * days) + left).sum() / (stayed + left).sum())


@pytest.mark.parametrize(
    ("repeats", "last", "age"),
    [(0, 0.0, 30.0), (1, 2.0, 30.0), (2, 25.0, 30.0), (6, 12.0, 38.0), (12, 37.0, 38.0), (4, 4.0, 4.0)],
)
@pytest.mark.parametrize("days", [1.0, 12.0, 52.0])
def test_no_purchase_is_the_posterior_of_the_model(repeats: int, last: float, age: float, days: float) -> None:
    history = {name: np.array([float(value)]) for name, value in (("repeats", repeats), ("last", last), ("age", age))}

    found = PAPER.no_purchase_within(days, **history)[0]

    assert found == pytest.approx(by_integration(PAPER, days, repeats=repeats, last=last, age=age), abs=0.015)


def simulate(model: BgNbd, *, customers: int, age: float, ahead: float, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Customers who buy and leave by the model's own rules: their histories, and whether they bought nothing ahead."""
    generator = np.random.default_rng(seed)
    rate = generator.gamma(model.r, 1 / model.alpha, customers)
    leaving = generator.beta(model.a, model.b, customers)
    clock, repeats, last = np.zeros(customers), np.zeros(customers), np.zeros(customers)
    alive, silent = np.ones(customers, dtype=bool), np.ones(customers, dtype=bool)
    while alive.any():
        clock += generator.exponential(1 / rate)
        alive &= clock <= age + ahead
        inside = alive & (clock <= age)
        repeats[inside] += 1
        last[inside] = clock[inside]
        silent[alive & (clock > age)] = False
        alive &= generator.random(customers) >= leaving
    return {"repeats": repeats, "last": last, "age": np.full(customers, age)}, silent


@pytest.fixture(scope="module")
def simulated() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """15,000 customers watched for 30 weeks, and whether they were silent in the 8 weeks after."""
    return simulate(BgNbd(r=0.8, alpha=5.0, a=0.9, b=3.0), customers=15_000, age=30.0, ahead=8.0, seed=11)


def test_a_fit_of_simulated_customers_finds_the_truth(simulated: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    model = fit(**simulated[0])

    np.testing.assert_allclose(parameters(model), [0.8, 5.0, 0.9, 3.0], rtol=0.15)


def test_simulated_customers_are_silent_as_often_as_predicted(simulated: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    histories, silent = simulated
    predicted = BgNbd(r=0.8, alpha=5.0, a=0.9, b=3.0).no_purchase_within(8.0, **histories)

    for group in np.array_split(np.argsort(predicted, kind="stable"), 10):
        noise = np.sqrt((predicted[group] * (1 - predicted[group])).sum()) / len(group)
        assert abs(silent[group].mean() - predicted[group].mean()) < 4 * noise


def test_longer_silence_never_makes_a_purchase_likelier() -> None:
    silence = np.arange(0.0, 60.0)
    repeats, last = np.full(60, 5.0), np.full(60, 20.0)

    absent = PAPER.no_purchase_within(4.0, repeats=repeats, last=last, age=20 + silence)

    assert (np.diff(absent) > 0).all()
    assert ((absent > 0) & (absent < 1)).all()


def test_a_longer_horizon_leaves_less_room_for_silence(cdnow: dict[str, np.ndarray]) -> None:
    week, month, ever = (PAPER.no_purchase_within(weeks, **cdnow) for weeks in (1.0, 4.0, 1e9))

    assert (week > month).all()
    assert (month > ever).all()
    # those still there buy some day, up to the slow tail of rates near zero
    np.testing.assert_allclose(ever, 1 - PAPER.alive(**cdnow), atol=0.02)
    assert PAPER.no_purchase_within(0.0, **cdnow).tolist() == [1.0] * len(week)


def test_nobody_has_left_before_the_second_purchase() -> None:
    assert PAPER.alive(repeats=np.zeros(2), last=np.zeros(2), age=np.array([1.0, 500.0])).tolist() == [1.0, 1.0]


def test_no_repeats_are_refused() -> None:
    nothing = np.zeros(0)
    with pytest.raises(NotEnoughData, match="more than one day"):
        fit(repeats=nothing, last=nothing, age=nothing)
    with pytest.raises(NotEnoughData, match="more than one day"):
        fit(repeats=np.zeros(50), last=np.zeros(50), age=np.linspace(1, 90, 50))


@pytest.mark.parametrize(
    ("repeats", "last", "age"),
    [
        (np.array([3.0]), np.array([50.0]), np.array([60.0])),  # a single customer
        (np.full(200, 1.0), np.full(200, 10.0), np.full(200, 100.0)),  # no difference between any two
        (np.full(200, 2.0), np.full(200, 100.0), np.full(200, 100.0)),
        (np.linspace(20, 60, 300).round(), np.full(300, 100.0), np.full(300, 100.0)),  # everyone bought to the end
        (np.ones(200), np.zeros(200), np.zeros(200)),  # no time has passed
    ],
)
def test_customers_without_any_difference_are_refused(repeats: np.ndarray, last: np.ndarray, age: np.ndarray) -> None:
    with pytest.raises(NotEnoughData, match="no finite fit"):
        fit(repeats=repeats, last=last, age=age)


def test_customers_who_differ_by_chance_alone_are_answered_as_by_poisson() -> None:
    generator = np.random.default_rng(2)
    repeats = generator.poisson(10, 3000).astype(np.float64)
    last = np.array([generator.uniform(0, 100, int(n)).max(initial=0.0) for n in repeats])
    age = np.full(3000, 100.0)

    absent = fit(repeats=repeats, last=last, age=age).no_purchase_within(7.0, repeats=repeats, last=last, age=age)

    np.testing.assert_allclose(absent, np.exp(-0.1 * 7), atol=0.06)
    assert absent.mean() == pytest.approx(np.exp(-0.1 * 7), abs=0.02)


def test_a_member_who_only_returned_goods_does_not_spoil_the_baseline() -> None:
    generator = np.random.default_rng(4)
    lines = [Line("ann", 0.0), Line("till", 180.0)]
    for member in range(80):
        stays_until, gap = generator.uniform(10, 400), generator.exponential(12) + 1
        lines += [Line(f"m{member:02}", float(at)) for at in np.arange(generator.uniform(0, 30), min(stays_until, 180), gap)]
    returned = Line("a_return_only", 20.0, -500, kind="return")

    absent = []
    for shop_lines in (lines, [returned, *lines]):
        facts = shop(shop_lines)
        rows = build(facts, as_of=facts.midnight(facts.manifest.first_day + 150))
        eligible = rows.column("days_since_last_purchase") <= 84
        absent.append(bgnbd_no_purchase(rows, eligible, horizon_days=28))

    assert absent[0] is not None
    assert absent[1] is not None
    np.testing.assert_allclose(absent[1], absent[0], atol=1e-6)
