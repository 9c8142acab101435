"""Gradient-boosted trees of either library as plain arrays: what every split asks, and how many rows went which way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from training.predictors.trees import TreeModel

LEAF = -1


@dataclass(frozen=True, slots=True)
class PlainTree:
    """One tree. Node 0 is the root; a row goes left where its feature is below the threshold.

    Attributes
    ----------
    output
        Which class the tree adds to; 0 where there are two classes.
    left, right
        Children of each node; `LEAF` twice for a leaf.
    feature, threshold, missing_left
        What each split asks: column of the matrix, edge as float32, and where a missing value goes.
    cover
        Weight of the training rows in each node: XGBoost's sum of hessians, LightGBM's count.
    value
        What a leaf adds to the margin; 0 for splits.
    """

    output: int
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    cover: NDArray[np.float64]
    value: NDArray[np.float64]


def plain_trees(model: TreeModel) -> list[PlainTree] | None:
    """Every tree of a model; None where a split is of a kind not read here (categories, zeros taken for missing)."""
    if isinstance(model.booster, xgboost.Booster):
        return _of_xgboost(json.loads(model.to_bytes()))
    return _of_lightgbm(model.booster.dump_model())


def _of_xgboost(content: Mapping[str, Any]) -> list[PlainTree] | None:
    booster = content["learner"]["gradient_booster"]
    if booster.get("name") != "gbtree":
        return None
    trees, outputs = booster["model"]["trees"], booster["model"]["tree_info"]
    if any(tree["categories_nodes"] for tree in trees):
        return None
    return [_xgboost_tree(tree, output) for tree, output in zip(trees, outputs, strict=True)]


def _xgboost_tree(tree: Mapping[str, Any], output: int) -> PlainTree:
    left = np.asarray(tree["left_children"], dtype=np.int32)
    conditions = np.asarray(tree["split_conditions"], dtype=np.float32)
    return PlainTree(
        output=int(output),
        left=left,
        right=np.asarray(tree["right_children"], dtype=np.int32),
        feature=np.asarray(tree["split_indices"], dtype=np.int32),
        threshold=conditions,
        missing_left=np.asarray(tree["default_left"], dtype=np.bool_),
        cover=np.asarray(tree["sum_hessian"], dtype=np.float64),
        value=np.where(left == LEAF, conditions.astype(np.float64), 0.0),  # a leaf keeps its value where splits keep the edge
    )


def _of_lightgbm(content: Mapping[str, Any]) -> list[PlainTree] | None:
    outputs = content["num_tree_per_iteration"]
    trees = [list(_nodes(info["tree_structure"])) for info in content["tree_info"]]
    if any(not _is_plain(node) for nodes in trees for node, _, _ in nodes):
        return None
    return [_lightgbm_tree(nodes, position % outputs) for position, nodes in enumerate(trees)]


def _nodes(root: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], int, int]]:
    """Every node with the numbers of its children, from the root down, level by level."""
    waiting, numbered = [root], 1
    for node in waiting:
        if "split_index" in node:
            yield node, numbered, numbered + 1
            waiting += [node["left_child"], node["right_child"]]
            numbered += 2
        else:
            yield node, LEAF, LEAF


def _is_plain(node: Mapping[str, Any]) -> bool:
    return "split_index" not in node or (node["decision_type"] == "<=" and node["missing_type"] in ("NaN", "None"))


def _lightgbm_tree(nodes: list[tuple[Mapping[str, Any], int, int]], output: int) -> PlainTree:
    splits = [node if "split_index" in node else None for node, _, _ in nodes]
    return PlainTree(
        output=output,
        left=np.array([left for _, left, _ in nodes], dtype=np.int32),
        right=np.array([right for _, _, right in nodes], dtype=np.int32),
        feature=np.array([split["split_feature"] if split else 0 for split in splits], dtype=np.int32),
        threshold=_just_above(np.array([split["threshold"] if split else 0.0 for split in splits])),
        missing_left=np.array([split is not None and _missing_goes_left(split) for split in splits], dtype=np.bool_),
        cover=np.array(
            [node["internal_count" if split else "leaf_count"] for (node, _, _), split in zip(nodes, splits, strict=True)],
            dtype=np.float64,
        ),
        value=np.array([0.0 if split else node["leaf_value"] for (node, _, _), split in zip(nodes, splits, strict=True)]),
    )


def _missing_goes_left(split: Mapping[str, Any]) -> bool:
    """LightGBM reads a missing value as 0 where the training rows had none."""
    return bool(split["default_left"]) if split["missing_type"] == "NaN" else split["threshold"] >= 0


def _just_above(edges: NDArray[np.float64]) -> NDArray[np.float32]:
    """The smallest float32 above each edge: a float32 is below it exactly where it is at most the edge."""
    with np.errstate(over="ignore"):  # an edge beyond all float32 is infinite: every value is below it, as it should be
        nearest = edges.astype(np.float32)
    below = np.where(nearest.astype(np.float64) > edges, nearest, np.nextafter(nearest, np.float32(np.inf)))
    return np.asarray(below, dtype=np.float32)
