"""The ranker: LambdaMART over members and items, learned from what was bought after earlier cut-offs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import xgboost
from numpy.typing import NDArray

from training.lists.cutoffs import Cutoff, hits
from training.predictors import Engine, Matrix, TreeModel
from training.predictors.list_sources import Candidates

NEGATIVES = 40
"""Candidates nobody bought that stand beside those that were bought, for each member."""
POINTWISE: Mapping[str, Any] = {"objective": "binary:logistic", "min_child_weight": 5}
PAIRWISE: Mapping[str, Any] = {
    "objective": "rank:ndcg",
    "lambdarank_pair_method": "topk",
    "lambdarank_num_pair_per_sample": 20,
    "ndcg_exp_gain": False,
    "min_child_weight": 1e-2,
}


@dataclass(frozen=True, slots=True)
class RankerSettings:
    """How the ranker is grown."""

    trees: int = 120
    depth: int = 5
    learning_rate: float = 0.1
    rows_in_leaf: int = 50
    l2: float = 5.0
    feature_share: float = 0.7
    row_share: float = 0.7


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows of features, whether each was bought, and how many rows each member has; members one after the other."""

    rows: Matrix
    bought: NDArray[np.float32]
    groups: NDArray[np.int64]


def examples(of: Cutoff, candidates: Candidates, *, seed: int) -> Examples:
    """Two questions a member: which candidates were bought, and which of those that would be new were.

    Of the members who bought one: each candidate that was bought, and a sample of those that were not.
    """
    happened = hits(of.bought, candidates)
    generator = np.random.default_rng(seed)
    everything = np.ones(len(happened), dtype=np.bool_)
    return together([_asked(candidates, happened, among, generator) for among in (everything, ~candidates.is_own)])


def _asked(
    candidates: Candidates, happened: NDArray[np.bool_], among: NDArray[np.bool_], generator: np.random.Generator
) -> Examples:
    owners, members = candidates.owners, len(candidates)
    misses = np.bincount(owners[among & ~happened], minlength=members)
    share = np.minimum(NEGATIVES / np.maximum(misses, 1), 1)
    some = np.bincount(owners[among & happened], minlength=members) > 0
    kept = among & some[owners] & (happened | (generator.random(len(owners)) < share[owners]))
    groups = np.bincount(owners[kept], minlength=members)
    return Examples(candidates.features[kept], happened[kept].astype(np.float32), groups[groups > 0])


def together(parts: Sequence[Examples]) -> Examples:
    """Examples of several cut-offs one after the other."""
    return Examples(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.bought for part in parts]),
        np.concatenate([part.groups for part in parts]),
    )


def fit_ranker(learned: Examples, settings: RankerSettings, *, engine: Engine, seed: int) -> TreeModel:
    """Trees that put what is bought above what is not.

    With XGBoost the first half asks of each candidate alone whether it is bought, the second half corrects their order by NDCG
    (LambdaMART, Burges 2010): a little better than either alone, see docs/decisions/0044.
    """
    if engine == "lightgbm":
        data = lightgbm.Dataset(learned.rows, label=learned.bought, group=learned.groups)
        return TreeModel(engine, lightgbm.train(_lightgbm(settings, seed), data, settings.trees))
    matrix = xgboost.QuantileDMatrix(learned.rows, label=learned.bought, group=learned.groups, max_bin=128, nthread=1)
    shared = _xgboost(settings, seed)
    first = xgboost.train({**shared, **POINTWISE}, matrix, settings.trees - settings.trees // 2)
    booster = xgboost.train({**shared, **PAIRWISE}, matrix, settings.trees // 2, xgb_model=first)
    return TreeModel.from_bytes(engine, bytes(booster.save_raw(raw_format="json")))


def _xgboost(settings: RankerSettings, seed: int) -> Mapping[str, Any]:
    return {
        "tree_method": "hist",
        "max_bin": 128,
        "max_depth": settings.depth,
        "learning_rate": settings.learning_rate,
        "lambda": settings.l2,
        "colsample_bytree": settings.feature_share,
        "subsample": settings.row_share,
        "nthread": 1,
        "seed": seed,
    }


def _lightgbm(settings: RankerSettings, seed: int) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 30,
        "label_gain": [0, 1],
        "num_leaves": min(2**settings.depth, 63),
        "max_bin": 127,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": settings.rows_in_leaf,
        "lambda_l2": settings.l2,
        "feature_fraction": settings.feature_share,
        "bagging_fraction": settings.row_share,
        "bagging_freq": 1,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
        "seed": seed,
    }
