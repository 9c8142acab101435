"""Predictors: a row has one score, whoever stands beside it, and answers mean what their names say."""

from dataclasses import replace

import numpy as np
import pytest

from training.churn import BANDS
from training.datasets import Examples
from training.predictors import (
    AmountTable,
    BgNbd,
    BgNbdPredictor,
    Calibrator,
    ChurnPredictor,
    IntervalTable,
    Recommender,
    SegmentPredictor,
    TierOdds,
    TierPredictor,
    TreeModel,
    ValuePredictor,
    with_parameters,
)
from training.predictors.tier import MOVES

AMOUNTS = ("value-xgboost", "value-lightgbm")
SCORERS = ("churn-xgboost", "churn-lightgbm", "churn-bgnbd", "tier", "segments", *AMOUNTS)
TREES = ("churn-xgboost", "churn-lightgbm", "tier", *AMOUNTS)
RISKS = ("churn-xgboost", "churn-lightgbm", "churn-bgnbd")
Scorer = ChurnPredictor | BgNbdPredictor | TierPredictor | SegmentPredictor | ValuePredictor
Scorers = dict[str, Scorer]


@pytest.fixture(params=SCORERS)
def scorer(request: pytest.FixtureRequest, predictors: Scorers) -> Scorer:
    """Each predictor that scores rows."""
    return predictors[request.param]


def test_a_batch_scores_as_its_rows_do_one_by_one(scorer: Scorer, made_up: Examples) -> None:
    matrix = made_up.matrix[:300]

    batch = scorer.score(matrix)
    single = np.concatenate([scorer.score(matrix[row : row + 1]) for row in range(len(matrix))])

    assert batch.tobytes() == single.tobytes()


@pytest.mark.parametrize("size", [2, 7, 64, 300])
def test_scores_do_not_depend_on_how_rows_are_divided(scorer: Scorer, made_up: Examples, size: int) -> None:
    parts = [scorer.score(made_up.matrix[start : start + size]) for start in range(0, 900, size)]

    assert np.concatenate(parts).tobytes() == scorer.score(made_up.matrix).tobytes()


def test_scores_do_not_depend_on_the_layout_in_memory(scorer: Scorer, made_up: Examples) -> None:
    wider = np.repeat(made_up.matrix, 2, axis=1)
    layouts = [np.asfortranarray(made_up.matrix), wider[:, ::2], made_up.matrix[:, np.arange(made_up.matrix.shape[1])]]

    expected = scorer.score(made_up.matrix).tobytes()
    for matrix in layouts:
        assert scorer.score(matrix).tobytes() == expected


def test_rows_in_another_order_have_their_own_scores(scorer: Scorer, made_up: Examples) -> None:
    order = np.random.default_rng(0).permutation(900)

    assert scorer.score(made_up.matrix[order]).tobytes() == scorer.score(made_up.matrix)[order].tobytes()


def test_scoring_leaves_its_input_alone(scorer: Scorer, made_up: Examples) -> None:
    before = made_up.matrix.tobytes()
    scorer.score(made_up.matrix)

    assert made_up.matrix.tobytes() == before


def test_scores_are_probabilities_or_amounts_also_of_rows_without_any_value(scorer: Scorer, made_up: Examples) -> None:
    nothing = np.full((1, made_up.matrix.shape[1]), np.nan, dtype=np.float32)
    huge = np.full_like(nothing, 1e30)
    scores = scorer.score(np.concatenate([made_up.matrix, nothing, huge, -huge]))

    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert isinstance(scorer, ValuePredictor) or (scores <= 1).all()
    if isinstance(scorer, TierPredictor | SegmentPredictor):
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


def test_scores_tell_the_classes_apart(predictors: Scorers, made_up: Examples) -> None:
    left = made_up.labels > 0
    for name in ("churn-xgboost", "churn-lightgbm"):
        scores = predictors[name].score(made_up.matrix)
        assert scores[left].mean() > scores[~left].mean() + 0.2


def test_both_engines_read_the_columns_alike(predictors: Scorers, made_up: Examples) -> None:
    one, other = (predictors[name].score(made_up.matrix) for name in ("churn-xgboost", "churn-lightgbm"))

    assert np.corrcoef(one, other)[0, 1] > 0.9


@pytest.mark.parametrize("name", TREES)
def test_trees_are_the_same_after_their_text_form(predictors: Scorers, made_up: Examples, name: str) -> None:
    model = predictors[name].model
    again = TreeModel.from_bytes(model.engine, model.to_bytes())

    assert again.predict(made_up.matrix).tobytes() == model.predict(made_up.matrix).tobytes()
    assert again.to_bytes() == model.to_bytes()


def test_the_calibrator_of_the_manifest_is_applied(predictors: Scorers, made_up: Examples) -> None:
    churn = predictors["churn-xgboost"]
    assert isinstance(churn, ChurnPredictor)
    raw = churn.model.predict(made_up.matrix)

    plain = replace(churn, manifest=with_parameters(churn.manifest, calibrator=Calibrator()))

    assert plain.score(made_up.matrix).tobytes() == raw.tobytes()
    assert churn.score(made_up.matrix).tobytes() == Calibrator(0.9, -0.1).apply(raw).tobytes()
    assert plain.manifest.parameters["bands"] == BANDS  # the other parameters stay


@pytest.mark.parametrize(
    ("probability", "band"),
    [(0.0, "low"), (0.19999, "low"), (0.2, "medium"), (0.49999, "medium"), (0.5, "high"), (1.0, "high")],
)
def test_bands_begin_at_their_edges(predictors: Scorers, probability: float, band: str) -> None:
    churn = predictors["churn-lightgbm"]
    assert isinstance(churn, ChurnPredictor)

    assert churn.band(probability) == band


def test_the_likely_tier_is_how_many_cuts_the_expected_tier_reaches(predictors: Scorers) -> None:
    tier = predictors["tier"]
    assert isinstance(tier, TierPredictor)
    scores = np.array([[0.75, 0.125, 0.125], [0.625, 0.25, 0.125], [0.25, 0.25, 0.5], [0.0, 0.5, 0.5], [0.25, 0.0, 0.75]])

    assert tier.tiers == ("regular", "gold", "diamond")
    assert tier.odds.cuts == (0.5, 1.4)
    assert tier.likely_tier(scores).tolist() == [0, 1, 1, 2, 2]


def test_a_higher_forecast_never_makes_a_higher_tier_less_likely() -> None:
    odds = TierOdds(slope=2.0, borders=(1.0, 4.0), cuts=(0.5, 1.4))
    forecast = np.array([0.0, 1e-9, 0.5, 1.0, np.exp(0.5), 3.0, np.exp(2.0), 50.0, 1e9])

    found = odds.probabilities(forecast)

    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    assert (np.diff(found[:, 2]) >= 0).all()
    assert (np.diff(found[:, 0]) <= 0).all()
    assert found[4, 0] == pytest.approx(0.5)  # at the first border
    assert found[6, 2] == pytest.approx(0.5)  # at the second
    assert (np.diff(odds.said(found)) >= 0).all()
    assert TierOdds.of(odds.numbers()) == odds


def test_moves_are_counted_from_the_tier_of_now(predictors: Scorers, made_up: Examples) -> None:
    tier = predictors["tier"]
    assert isinstance(tier, TierPredictor)
    matrix = made_up.matrix[:4].copy()
    matrix[:, tier.manifest.features.index("spend_cents_90d")] = [np.nan, 49, 50, 90]

    assert tier.tier_now(matrix).tolist() == [0, 0, 1, 2]
    scores = np.array([[0.5, 0.25, 0.25]] * 3)
    moves = tier.moves(scores, np.array([0, 1, 2]))
    assert moves.tolist() == [[0.0, 0.5, 0.5], [0.5, 0.25, 0.25], [0.75, 0.25, 0.0]]
    assert MOVES == ("down", "same", "up")


def test_popular_items_are_those_with_most_buyers(predictors: dict[str, Recommender]) -> None:
    buyers = np.array([1, 5, 5, 0, 9, 2, 2, 2, 2, 2, 2, 2], dtype=np.float32)
    known = predictors["recommender"]
    recommender = replace(known, catalogue=replace(known.catalogue, buyers_28d=buyers))

    assert recommender.popular_items(4) == ["i04", "i01", "i02", "i05"]
    assert len(recommender.popular_items(99)) == 12


@pytest.mark.parametrize("name", RISKS)
def test_intervals_hold_the_answer_and_are_the_same_one_by_one(predictors: Scorers, made_up: Examples, name: str) -> None:
    predictor = predictors[name]
    assert isinstance(predictor, ChurnPredictor | BgNbdPredictor)
    answer = predictor.score(made_up.matrix)

    low, high = predictor.interval(made_up.matrix)
    single = [predictor.interval(made_up.matrix[row : row + 1]) for row in range(100)]

    assert ((low >= 0) & (low <= answer) & (answer <= high) & (high <= 1)).all()
    assert (low < high).any()
    assert np.concatenate([one[0] for one in single]).tobytes() == low[:100].tobytes()
    assert np.concatenate([one[1] for one in single]).tobytes() == high[:100].tobytes()


def test_an_interval_by_hand() -> None:
    table = IntervalTable((0.2, 0.4), (0.1, 0.3), (0.3, 0.6), level=0.9, group=200)

    low, high = table.around(np.array([0.0, 0.2, 0.3, 0.4, 0.9]))

    np.testing.assert_allclose(low, [0.0, 0.1, 0.2, 0.3, 0.3])
    np.testing.assert_allclose(high, [0.3, 0.3, 0.45, 0.6, 0.9])


def test_without_a_table_everything_is_possible(predictors: Scorers, made_up: Examples) -> None:
    churn = predictors["churn-xgboost"]
    assert isinstance(churn, ChurnPredictor)
    kept = {name: value for name, value in churn.manifest.parameters.items() if name != "interval"}
    plain = replace(churn, manifest=replace(churn.manifest, parameters=kept))

    low, high = plain.interval(made_up.matrix[:5])

    assert (low.tolist(), high.tolist()) == ([0.0] * 5, [1.0] * 5)


def test_bgnbd_reads_the_three_features_it_is_made_of(predictors: Scorers, made_up: Examples) -> None:
    predictor = predictors["churn-bgnbd"]
    assert isinstance(predictor, BgNbdPredictor)
    names = predictor.manifest.features
    matrix = made_up.matrix[:1].copy()
    for name, value in (("purchase_days", 5), ("active_span_days", 60), ("days_since_first_purchase", 75)):
        matrix[:, names.index(name)] = value

    expected = BgNbd(0.8, 20.0, 0.9, 3.0).no_purchase_within(
        28, repeats=np.array([4.0]), last=np.array([60.0]), age=np.array([75.0])
    )

    assert predictor.score(matrix) == pytest.approx(predictor.calibrator.apply(expected))
    others = matrix + np.where(np.isin(names, ("purchase_days", "active_span_days", "days_since_first_purchase")), 0, 9)
    assert predictor.score(others.astype(np.float32)).tobytes() == predictor.score(matrix).tobytes()


def test_bgnbd_answers_who_never_bought_as_a_newcomer(predictors: Scorers) -> None:
    predictor = predictors["churn-bgnbd"]
    assert isinstance(predictor, BgNbdPredictor)
    nothing = np.full((1, len(predictor.manifest.features)), np.nan, dtype=np.float32)

    assert predictor.score(nothing)[0] == pytest.approx(predictor.calibrator.apply(np.array([(20 / 48) ** 0.8]))[0])


@pytest.mark.parametrize("name", AMOUNTS)
def test_amounts_are_in_cents_and_lie_in_their_intervals(predictors: Scorers, made_up: Examples, name: str) -> None:
    value = predictors[name]
    assert isinstance(value, ValuePredictor)

    cents = value.score(made_up.matrix)
    low, high = value.interval_of(cents)

    assert cents.mean() == pytest.approx(5000 * made_up.labels.mean(), rel=0.1)
    assert cents.tobytes() == np.minimum(value.model.predict(made_up.matrix) * 5000.0, 1e15).tobytes()
    assert ((low <= cents) & (cents <= high)).all()


def test_an_interval_of_amounts_by_hand() -> None:
    table = AmountTable((100.0, 300.0), (-20.0, 150.0), (200.0, 600.0), level=0.8)

    low, high = table.around(np.array([0.0, 100.0, 200.0, 300.0, 600.0]))

    np.testing.assert_allclose(low, [-20.0, -20.0, 65.0, 150.0, 300.0])
    np.testing.assert_allclose(high, [200.0, 200.0, 400.0, 600.0, 1200.0])  # beyond the last point they grow with the forecast
    assert AmountTable.of(table.numbers()) == table
