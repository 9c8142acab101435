"""Trees: the same rows give the same bytes, a constraint holds everywhere, and either library reads the same words."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from training.boosting import DEFAULTS, NODES_DEEP, Recipe, fit_trees, native, scaled_trees, trees_by_early_stopping
from training.datasets import Examples
from training.predictors import Engine

OBJECTIVES: Mapping[Engine, Mapping[str, object]] = {
    "xgboost": {"objective": "binary:logistic", "eval_metric": "logloss", "nthread": 1},
    "lightgbm": {"objective": "binary", "metric": "binary_logloss", "num_threads": 1},
}
ENGINES: tuple[Engine, ...] = ("xgboost", "lightgbm")
FEATURES = 6


def world(rows: int, seed: int) -> Examples:
    """Rows whose chance rises with the first feature, falls with the second and knows nothing of the others."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(rows, FEATURES)).astype(np.float32)
    logit = 1.5 * matrix[:, 0] - matrix[:, 1] + 0.8 * generator.normal(size=rows)
    happened = generator.random(rows) < 1 / (1 + np.exp(-logit))
    return Examples(np.array([f"m{i}" for i in range(rows)]), np.zeros(rows, dtype=np.int32), matrix, happened)


def recipe(engine: Engine, **changes: float) -> Recipe:
    return Recipe(engine, OBJECTIVES[engine], seed=3, parameters={"rows_in_leaf": 20, "learning_rate": 0.1, **changes})


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_rows_and_seed_give_the_same_bytes_and_another_seed_does_not(engine: Engine) -> None:
    rows = world(800, seed=1)
    first, again, other = (
        hashlib.sha256(fit_trees(one, rows, 30).to_bytes()).hexdigest()
        for one in (recipe(engine), recipe(engine), replace(recipe(engine), seed=4))
    )

    assert first == again
    assert first != other


@pytest.mark.parametrize("engine", ENGINES)
def test_an_answer_never_falls_along_a_feature_that_may_only_raise_it(engine: Engine) -> None:
    rows = world(800, seed=2)
    falling = np.linspace(-3, 3, 60, dtype=np.float32)
    probe = np.repeat(rows.matrix[:20], 60, axis=0)
    probe[:, 2] = np.tile(falling, 20)  # a feature of noise: trees without a constraint follow its noise up and down

    def steps(monotone: tuple[int, ...]) -> np.ndarray:
        model = fit_trees(replace(recipe(engine, feature_share=1.0), monotone=monotone), rows, 80)
        return np.diff(model.predict(probe).reshape(20, 60), axis=1)

    free, rising, sinking = steps(()), steps((0, 0, 1, 0, 0, 0)), steps((0, 0, -1, 0, 0, 0))
    assert free.min() < 0 < free.max()
    assert rising.min() >= 0
    assert sinking.max() <= 0


@pytest.mark.parametrize("engine", ENGINES)
def test_early_stopping_finds_the_round_of_lowest_loss_on_later_rows(engine: Engine) -> None:
    fitted, later = world(600, seed=3), world(600, seed=4)
    found, loss = trees_by_early_stopping(recipe(engine), fitted, later)

    def log_loss(trees: int) -> float:
        p = fit_trees(recipe(engine), fitted, trees).predict(later.matrix)
        return float(-np.mean(np.log(np.where(later.labels, p, 1 - p))))

    assert 5 < found < recipe(engine).most_trees
    assert log_loss(found) == pytest.approx(loss, abs=1e-6)
    assert log_loss(found) < min(log_loss(found // 3), log_loss(3 * found))


def test_rounds_are_bounded_by_what_serving_may_cost() -> None:
    assert recipe("xgboost", depth=6).most_trees == NODES_DEEP // 6 == 300
    assert recipe("xgboost", depth=3).most_trees == 600
    three_classes = replace(recipe("xgboost", depth=3), objective={"objective": "multi:softprob", "num_class": 3})
    assert three_classes.most_trees == 200


def test_more_rows_carry_more_trees_up_to_a_quarter() -> None:
    assert scaled_trees(recipe("xgboost"), 100, found_on=1000, used_on=1000) == 100
    assert scaled_trees(recipe("xgboost"), 100, found_on=1000, used_on=1210) == 110
    assert scaled_trees(recipe("xgboost"), 100, found_on=1000, used_on=9000) == 125
    assert scaled_trees(recipe("xgboost"), 100, found_on=1000, used_on=10) == 100
    assert scaled_trees(recipe("xgboost"), 440, found_on=1000, used_on=2000) == recipe("xgboost").most_trees


def test_weights_count_like_repeated_rows() -> None:
    rows = world(400, seed=5)
    weights = np.where(rows.matrix[:, 3] > 0, 2.0, 1.0)
    twice = np.repeat(np.arange(400), weights.astype(int))
    repeated = Examples(rows.member_ids[twice], rows.days[twice], rows.matrix[twice], rows.labels[twice])
    plain = recipe("xgboost", row_share=1.0, feature_share=1.0)

    weighted = fit_trees(plain, rows, 20, weights=weights).predict(rows.matrix)

    # cut points are quantiles of the rows, which weights move a little
    np.testing.assert_allclose(weighted, fit_trees(plain, repeated, 20).predict(rows.matrix), atol=0.06)
    assert np.abs(weighted - fit_trees(plain, rows, 20).predict(rows.matrix)).max() > 0.01


def test_both_libraries_are_told_the_same() -> None:
    xgboost, lightgbm = (native(recipe(engine, depth=3, l2=5.0)) for engine in ENGINES)

    assert xgboost["eta"] == lightgbm["learning_rate"] == 0.1
    assert xgboost["max_depth"] == lightgbm["max_depth"] == 3
    assert xgboost["subsample"] == lightgbm["bagging_fraction"] == DEFAULTS["row_share"]
    assert xgboost["colsample_bytree"] == lightgbm["feature_fraction"] == DEFAULTS["feature_share"]
    assert xgboost["lambda"] == lightgbm["lambda_l2"] == 5.0
    assert lightgbm["min_data_in_leaf"] == 20
    assert lightgbm["num_leaves"] == 6
    assert xgboost["seed"] == lightgbm["seed"] == 3


def test_a_misspelt_parameter_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no parameter max_dpeth"):
        native(recipe("xgboost", max_dpeth=3))
