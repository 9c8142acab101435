"""Fitting trees with either library: early stopping on a later window, then a refit on both with the number of trees found."""

from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np
import xgboost

from training.datasets import Examples
from training.predictors import Engine, TreeModel

MAX_TREES = 1500
PATIENCE = 50
XGBOOST: Mapping[str, Any] = {
    "eta": 0.03,
    "max_depth": 4,
    "min_child_weight": 20,
    "subsample": 0.7,
    "colsample_bytree": 0.4,
    "lambda": 10.0,
    "tree_method": "hist",
    "max_bin": 128,
    "nthread": 2,
}
LIGHTGBM: Mapping[str, Any] = {
    "learning_rate": 0.03,
    "num_leaves": 12,
    "max_depth": 4,
    "min_data_in_leaf": 60,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "feature_fraction": 0.4,
    "lambda_l2": 10.0,
    "max_bin": 127,
    "num_threads": 2,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


def fit_with_early_stopping(
    engine: Engine, train: Examples, later: Examples, *, objective: Mapping[str, Any], seed: int
) -> tuple[TreeModel, int]:
    """Trees refitted on both windows, and their number, which was found by stopping early on the later one.

    Parameters
    ----------
    objective
        The library's own parameters for objective and metric, for example {"objective": "binary:logistic", ...}.
    """
    if engine == "lightgbm":
        return _fit_lightgbm(train, later, objective, seed)
    return _fit_xgboost(train, later, objective, seed)


def both(first: Examples, second: Examples) -> Examples:
    """The rows of two sets of examples, one after the other."""
    return Examples(
        np.concatenate([first.member_ids, second.member_ids]),
        np.concatenate([first.days, second.days]),
        np.concatenate([first.matrix, second.matrix]),
        np.concatenate([first.labels, second.labels]),
    )


def gains(model: TreeModel, features: tuple[str, ...]) -> dict[str, float]:
    """Total gain of each feature that the trees use."""
    if isinstance(model.booster, lightgbm.Booster):
        return dict(zip(features, model.booster.feature_importance("gain").tolist(), strict=True))
    scores = model.booster.get_score(importance_type="total_gain")
    return {features[int(name.removeprefix("f"))]: float(np.mean(gain)) for name, gain in scores.items()}


def _fit_xgboost(train: Examples, later: Examples, objective: Mapping[str, Any], seed: int) -> tuple[TreeModel, int]:
    parameters = {**XGBOOST, **objective, "seed": seed}
    fitted, stopped = (xgboost.DMatrix(d.matrix, label=d.labels.astype(np.float32)) for d in (train, later))
    tried = xgboost.train(
        parameters, fitted, MAX_TREES, evals=[(stopped, "later")], early_stopping_rounds=PATIENCE, verbose_eval=False
    )
    trees = tried.best_iteration + 1
    whole = both(train, later)
    final = xgboost.train(parameters, xgboost.DMatrix(whole.matrix, label=whole.labels.astype(np.float32)), trees)
    return TreeModel.from_bytes("xgboost", bytes(final.save_raw(raw_format="json"))), trees


def _fit_lightgbm(train: Examples, later: Examples, objective: Mapping[str, Any], seed: int) -> tuple[TreeModel, int]:
    parameters = {**LIGHTGBM, **objective, "seed": seed}
    fitted = lightgbm.Dataset(train.matrix, label=train.labels.astype(np.float32))
    stopped = lightgbm.Dataset(later.matrix, label=later.labels.astype(np.float32), reference=fitted)
    quiet: list[Any] = [lightgbm.early_stopping(PATIENCE, verbose=False), lightgbm.log_evaluation(0)]
    tried = lightgbm.train(parameters, fitted, MAX_TREES, valid_sets=[stopped], callbacks=quiet)
    whole = both(train, later)
    data = lightgbm.Dataset(whole.matrix, label=whole.labels.astype(np.float32))
    final = lightgbm.train(parameters, data, tried.best_iteration)
    return TreeModel("lightgbm", final), tried.best_iteration
