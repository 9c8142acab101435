"""Fitting trees with either library from one set of parameters: early stopping on a later window, refits, monotone features.

The neutral names are those of `DEFAULTS`; `native` translates them. Equal inputs give the same XGBoost model to the byte.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import lightgbm
import numpy as np
import xgboost
from numpy.typing import NDArray

from training.datasets import Examples
from training.predictors import Engine, TreeModel

MAX_TREES = 1500
PATIENCE = 40
NODES_DEEP = 1800
"""Serving cost: trees times depth stay below those of 300 trees of depth 6."""
MOST_GROWTH = 1.25
"""More rows carry more trees, but never more than a quarter more of what early stopping found."""
DEFAULTS: Mapping[str, float] = {
    "learning_rate": 0.05,
    "depth": 4,
    "rows_in_leaf": 100,
    "row_share": 0.7,
    "feature_share": 0.4,
    "l2": 10.0,
}
# One thread: the bytes of a model then depend on no machine, and a busy one does not make threads wait for each other.
XGBOOST: Mapping[str, Any] = {"tree_method": "hist", "max_bin": 128, "nthread": 1}
LIGHTGBM: Mapping[str, Any] = {
    "bagging_freq": 1,
    "max_bin": 127,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How trees are grown; together with the rows it makes the model.

    Attributes
    ----------
    objective
        The library's own parameters for objective and metric, for example {"objective": "binary:logistic", ...}.
    parameters
        Neutral parameters that differ from `DEFAULTS`.
    monotone
        For each feature 1 (never lowers the answer as it grows), -1 (never raises it) or 0; empty for no constraint.
    """

    engine: Engine
    objective: Mapping[str, Any]
    seed: int
    parameters: Mapping[str, float] = field(default_factory=dict)
    monotone: tuple[int, ...] = ()

    def with_parameters(self, parameters: Mapping[str, float]) -> "Recipe":
        """The same recipe with other parameters."""
        return replace(self, parameters=dict(parameters))

    @property
    def most_trees(self) -> int:
        """Rounds that keep the serving cost bounded; each round grows a tree a class."""
        chosen = {**DEFAULTS, **self.parameters}
        return int(min(MAX_TREES, NODES_DEEP // chosen["depth"] // int(self.objective.get("num_class", 1))))


def native(recipe: Recipe) -> dict[str, Any]:
    """The library's own parameters for a recipe."""
    chosen = {**DEFAULTS, **recipe.parameters}
    unknown = sorted(set(chosen) - set(DEFAULTS))
    if unknown:
        raise ValueError(f"trees have no parameter {', '.join(unknown)}; there are {', '.join(DEFAULTS)}")
    depth = int(chosen["depth"])
    if recipe.engine == "lightgbm":
        own: dict[str, Any] = {
            **LIGHTGBM,
            "learning_rate": chosen["learning_rate"],
            "max_depth": depth,
            "num_leaves": max(2, round(0.75 * 2**depth)),
            "min_data_in_leaf": int(chosen["rows_in_leaf"]),
            "bagging_fraction": chosen["row_share"],
            "feature_fraction": chosen["feature_share"],
            "lambda_l2": chosen["l2"],
        }
    else:
        own = {
            **XGBOOST,
            "eta": chosen["learning_rate"],
            "max_depth": depth,
            "min_child_weight": chosen["rows_in_leaf"] * _hessian(recipe.objective),
            "subsample": chosen["row_share"],
            "colsample_bytree": chosen["feature_share"],
            "lambda": chosen["l2"],
        }
    if any(recipe.monotone):
        own["monotone_constraints"] = list(recipe.monotone) if recipe.engine == "lightgbm" else recipe.monotone
    return {**own, **recipe.objective, "seed": recipe.seed}


def trees_by_early_stopping(recipe: Recipe, fitted: Examples, later: Examples) -> tuple[int, float]:
    """Rounds after which the answers on later rows no longer improved, and the loss there by the recipe's own metric.

    Returns
    -------
    At least one round, no more than `recipe.most_trees`; lower losses are better.
    """
    return _stop_lightgbm(recipe, fitted, later) if recipe.engine == "lightgbm" else _stop_xgboost(recipe, fitted, later)


def fit_trees(recipe: Recipe, rows: Examples, trees: int, *, weights: NDArray[np.float64] | None = None) -> TreeModel:
    """Trees grown on all of these rows, so many rounds."""
    labels = rows.labels.astype(np.float32)
    if recipe.engine == "lightgbm":
        data = lightgbm.Dataset(rows.matrix, label=labels, weight=weights)
        return TreeModel("lightgbm", lightgbm.train(native(recipe), data, trees))
    booster = xgboost.train(native(recipe), xgboost.DMatrix(rows.matrix, label=labels, weight=weights), trees)
    return TreeModel.from_bytes("xgboost", bytes(booster.save_raw(raw_format="json")))


def scaled_trees(recipe: Recipe, trees: int, *, found_on: int, used_on: int) -> int:
    """Rounds for a refit on more rows than they were found on: by the root of the ratio, at most a quarter more."""
    growth: float = min(max(used_on / max(found_on, 1), 1.0) ** 0.5, MOST_GROWTH)
    wanted = round(trees * growth)
    return max(1, min(wanted, recipe.most_trees))


def fit_with_early_stopping(
    engine: Engine,
    train: Examples,
    later: Examples,
    *,
    objective: Mapping[str, Any],
    seed: int,
    parameters: Mapping[str, float] | None = None,
    monotone: Sequence[int] = (),
) -> tuple[TreeModel, int]:
    """Trees refitted on both windows, and their number, which was found by stopping early on the later one."""
    recipe = Recipe(engine, objective, seed, parameters or {}, tuple(monotone))
    trees, _ = trees_by_early_stopping(recipe, train, later)
    return fit_trees(recipe, both(train, later), trees), trees


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


def _hessian(objective: Mapping[str, Any]) -> float:
    """Weight that XGBoost gives a row, roughly: it bounds leaves by the sum of second derivatives, not by rows."""
    return 0.15 if objective.get("objective") in {"binary:logistic", "multi:softprob"} else 1.0


def _stop_xgboost(recipe: Recipe, fitted: Examples, later: Examples) -> tuple[int, float]:
    first, second = (xgboost.DMatrix(rows.matrix, label=rows.labels.astype(np.float32)) for rows in (fitted, later))
    tried = xgboost.train(
        native(recipe),
        first,
        recipe.most_trees,
        evals=[(second, "later")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    return int(tried.best_iteration) + 1, float(tried.best_score)


def _stop_lightgbm(recipe: Recipe, fitted: Examples, later: Examples) -> tuple[int, float]:
    first = lightgbm.Dataset(fitted.matrix, label=fitted.labels.astype(np.float32))
    second = lightgbm.Dataset(later.matrix, label=later.labels.astype(np.float32), reference=first)
    quiet: list[Any] = [lightgbm.early_stopping(PATIENCE, verbose=False), lightgbm.log_evaluation(0)]
    tried = lightgbm.train(native(recipe), first, recipe.most_trees, valid_sets=[second], callbacks=quiet)
    (loss,) = (value for by_metric in tried.best_score.values() for value in by_metric.values())
    return max(tried.best_iteration, 1), float(loss)
