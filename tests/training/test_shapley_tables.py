"""Tables give the contributions that TreeSHAP defines: held against a reading of the definition, and against both libraries."""

from itertools import combinations
from math import factorial

import lightgbm
import numpy as np
import pytest
import xgboost

from training.datasets import Examples
from training.predictors import TreeModel
from training.predictors.leaf_groups import BITS, leaf_groups
from training.predictors.shapley_tables import LINE, ShapleyTables
from training.predictors.tree_paths import LEAF, PlainTree, plain_trees

FEATURES = 6
EACH_ITS_OWN = np.arange(FEATURES)
"""Every feature a reason of its own."""


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Rows of six columns, some with gaps, and a class that depends on several of them together."""
    generator = np.random.default_rng(5)
    matrix = generator.normal(0, 1, (700, FEATURES)).astype(np.float32)
    labels = (matrix[:, 0] * matrix[:, 1] + matrix[:, 2] + generator.normal(0, 0.5, 700) > 0).astype(np.float32)
    matrix[generator.random(matrix.shape) < 0.15] = np.nan
    return matrix, labels


def xgboost_model(matrix: np.ndarray, labels: np.ndarray, **parameters: object) -> TreeModel:
    given = {"objective": "binary:logistic", "eta": 0.3, "max_depth": 4, "nthread": 1, "seed": 1, **parameters}
    booster = xgboost.train(given, xgboost.DMatrix(matrix, label=labels, nthread=1), 12)
    return TreeModel.from_bytes("xgboost", bytes(booster.save_raw(raw_format="json")))


def lightgbm_model(matrix: np.ndarray, labels: np.ndarray) -> TreeModel:
    given = {"objective": "binary", "num_leaves": 12, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1, "seed": 1}
    return TreeModel("lightgbm", lightgbm.train(given, lightgbm.Dataset(matrix, label=labels), 12))


def by_library(model: TreeModel, matrix: np.ndarray) -> np.ndarray:
    if isinstance(model.booster, xgboost.Booster):
        found = model.booster.predict(xgboost.DMatrix(matrix, nthread=1), pred_contribs=True)
    else:
        found = model.booster.predict(matrix, pred_contrib=True, num_threads=1)
    return np.asarray(found).reshape(len(matrix), -1, matrix.shape[1] + 1)[:, :, :-1]


def tables(model: TreeModel) -> ShapleyTables:
    trees = plain_trees(model)
    assert trees is not None
    found = ShapleyTables.of(trees, EACH_ITS_OWN, FEATURES)
    assert found is not None
    return found


def expectation(tree: PlainTree, row: np.ndarray, known: frozenset[int], node: int = 0) -> float:
    """Mean of the tree for a row of which only some features are known: the others follow the training rows."""
    if tree.left[node] == LEAF:
        return float(tree.value[node])
    left, right = int(tree.left[node]), int(tree.right[node])
    value = row[tree.feature[node]]
    if tree.feature[node] in known:
        goes_left = tree.missing_left[node] if np.isnan(value) else value < tree.threshold[node]
        return expectation(tree, row, known, left if goes_left else right)
    return float(sum(tree.cover[child] / tree.cover[node] * expectation(tree, row, known, child) for child in (left, right)))


def by_definition(trees: list[PlainTree], row: np.ndarray) -> np.ndarray:
    """Shapley values of the game in which a coalition of features is worth the expectation given them."""
    found = np.zeros(FEATURES)
    for feature in range(FEATURES):
        others = [other for other in range(FEATURES) if other != feature]
        for size in range(FEATURES):
            weight = factorial(size) * factorial(FEATURES - size - 1) / factorial(FEATURES)
            for chosen in combinations(others, size):
                known = frozenset(chosen)
                gains = (expectation(tree, row, known | {feature}) - expectation(tree, row, known) for tree in trees)
                found[feature] += weight * sum(gains)
    return found


def test_tables_give_what_the_definition_says(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = xgboost_model(*data)
    trees = plain_trees(model)
    assert trees is not None
    rows = np.concatenate([data[0][:6], np.full((1, FEATURES), np.nan, dtype=np.float32)])

    expected = np.array([by_definition(trees[:3], row) for row in rows])
    found = ShapleyTables.of(trees[:3], EACH_ITS_OWN, FEATURES)

    assert found is not None
    np.testing.assert_allclose(found.contributions(rows)[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 6, 8])
def test_tables_agree_with_xgboost_at_any_depth_they_take(data: tuple[np.ndarray, np.ndarray], depth: int) -> None:
    model = xgboost_model(*data, max_depth=depth, min_child_weight=3)

    np.testing.assert_allclose(tables(model).contributions(data[0]), by_library(model, data[0]), atol=1e-5)


def test_tables_agree_with_lightgbm(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = lightgbm_model(*data)

    np.testing.assert_allclose(tables(model).contributions(data[0]), by_library(model, data[0]), atol=1e-5)


def test_tables_agree_where_lightgbm_learned_without_gaps(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = lightgbm_model(np.nan_to_num(data[0], nan=0.3), data[1])

    np.testing.assert_allclose(tables(model).contributions(data[0]), by_library(model, data[0]), atol=1e-5)


def test_tables_agree_for_several_classes(data: tuple[np.ndarray, np.ndarray]) -> None:
    matrix, labels = data
    classes = labels + (np.nan_to_num(matrix[:, 3]) > 0.5)
    model = xgboost_model(matrix, classes, objective="multi:softprob", num_class=3)
    found = tables(model).contributions(matrix)

    assert found.shape == (len(matrix), 3, FEATURES)
    np.testing.assert_allclose(found, by_library(model, matrix), atol=1e-5)


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_rows_on_the_edges_of_splits_go_the_way_the_library_sends_them(
    data: tuple[np.ndarray, np.ndarray], engine: str
) -> None:
    model = xgboost_model(*data) if engine == "xgboost" else lightgbm_model(*data)
    trees = plain_trees(model)
    assert trees is not None
    edges = np.array([[t.threshold[n]] * FEATURES for t in trees for n in range(len(t.left)) if t.left[n] != LEAF])
    edges = edges[np.abs(edges[:, 0]) > 1e-30]  # LightGBM reads what is nearer to 0 as 0
    rows = np.concatenate([edges, np.nextafter(edges, np.float32(-np.inf)), np.nextafter(edges, np.float32(np.inf))])

    np.testing.assert_allclose(tables(model).contributions(rows), by_library(model, rows), atol=1e-5)


def test_expected_values_and_contributions_add_up_to_the_margin(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = xgboost_model(*data, base_score=0.5)
    found = tables(model)
    assert isinstance(model.booster, xgboost.Booster)
    margin = model.booster.predict(xgboost.DMatrix(data[0], nthread=1), output_margin=True)

    np.testing.assert_allclose(found.expected[0] + found.contributions(data[0])[:, 0].sum(axis=1), margin, atol=1e-5)


def test_reasons_are_sums_of_their_features(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = xgboost_model(*data)
    trees = plain_trees(model)
    assert trees is not None
    together = ShapleyTables.of(trees, np.array([0, 0, 1, 1, 1, 2]), 4)
    assert together is not None
    each, found = tables(model).contributions(data[0]), together.contributions(data[0])

    np.testing.assert_allclose(found[:, :, 0], each[:, :, :2].sum(axis=2), atol=1e-5)
    np.testing.assert_allclose(found[:, :, 1], each[:, :, 2:5].sum(axis=2), atol=1e-5)
    assert not found[:, :, 3].any()


def test_a_batch_is_explained_as_its_rows_are_one_by_one(data: tuple[np.ndarray, np.ndarray]) -> None:
    found = tables(xgboost_model(*data))
    whole = found.contributions(data[0])

    for size in (1, 3, 64, 65, 300):
        parts = [found.contributions(data[0][start : start + size]) for start in range(0, len(data[0]), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert found.contributions(np.asfortranarray(data[0])).tobytes() == whole.tobytes()
    assert found.contributions(data[0][:0]).shape == (0, 1, FEATURES)


def test_many_reasons_are_told_apart_in_rows_of_eight() -> None:
    """Of forty features, each a reason of its own, in three classes."""
    generator = np.random.default_rng(8)
    matrix = generator.normal(0, 1, (400, 40)).astype(np.float32)
    labels = generator.integers(0, 3, 400)
    model = xgboost_model(matrix, labels, objective="multi:softprob", num_class=3)
    trees = plain_trees(model)
    assert trees is not None
    found = ShapleyTables.of(trees, np.arange(40), 40)

    assert found is not None
    np.testing.assert_allclose(found.contributions(matrix), by_library(model, matrix), atol=1e-5)


def test_tables_are_the_same_after_they_were_written_down(data: tuple[np.ndarray, np.ndarray]) -> None:
    found = tables(xgboost_model(*data))
    again = ShapleyTables.from_arrays(found.arrays())

    assert again.contributions(data[0]).tobytes() == found.contributions(data[0]).tobytes()
    for one in (found, again):
        assert one.table.ctypes.data % LINE == 0  # or a row would take two lines of the cache


@pytest.mark.parametrize("depth", [1, 4, 6, 8])
def test_each_leaf_is_in_one_group_of_at_most_eight_splits(data: tuple[np.ndarray, np.ndarray], depth: int) -> None:
    trees = plain_trees(xgboost_model(*data, max_depth=depth, min_child_weight=3))
    assert trees is not None
    for tree in trees:
        groups = leaf_groups(tree)
        assert groups is not None
        leaves = [leaf for group in groups for leaf, _ in group.leaves]
        assert sorted(leaves) == np.flatnonzero(tree.left == LEAF).tolist()
        for group in groups:
            asked = {split for _, path in group.leaves for split, _ in path}
            assert (set(group.splits), len(group.splits)) == (asked, len(asked))
            assert len(asked) <= BITS


def test_paths_of_more_than_eight_splits_are_left_to_the_library(data: tuple[np.ndarray, np.ndarray]) -> None:
    trees = plain_trees(xgboost_model(*data, max_depth=14, min_child_weight=0, **{"lambda": 0}))
    assert trees is not None

    assert ShapleyTables.of(trees, EACH_ITS_OWN, FEATURES) is None


def test_splits_by_category_are_not_read(data: tuple[np.ndarray, np.ndarray], made_up: Examples) -> None:
    matrix = np.column_stack([np.nan_to_num(made_up.matrix[:, 0]) // 20 % 5, made_up.matrix[:, 1]])
    given = {"objective": "binary", "min_data_in_leaf": 5, "min_data_per_group": 5, "num_threads": 1, "verbose": -1}
    rows = lightgbm.Dataset(matrix, label=matrix[:, 0] == 3, categorical_feature=[0])

    assert plain_trees(TreeModel("lightgbm", lightgbm.train(given, rows, 3))) is None


def test_a_tree_that_is_a_leaf_adds_nothing() -> None:
    nothing = np.zeros((40, FEATURES), dtype=np.float32)
    for model in (xgboost_model(nothing, np.arange(40) % 2), lightgbm_model(nothing, np.arange(40) % 2)):
        assert not tables(model).contributions(nothing).any()
