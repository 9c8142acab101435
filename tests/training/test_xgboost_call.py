"""Trees asked by the library's C interface answer what its Python interface answers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xgboost

from training.predictors.xgboost_call import predicted

ROWS = np.random.default_rng(3).normal(size=(700, 5)).astype(np.float32)
ROWS[::7, 2] = np.nan
KINDS = {
    "binary:logistic": (ROWS[:, 0] > ROWS[:, 1]).astype(int),
    "multi:softprob": np.digitize(ROWS[:, 0], [-0.5, 0.5]),
    "reg:tweedie": np.abs(ROWS[:, 1]),
    "rank:ndcg": (ROWS[:, 0] > 1).astype(int),
}


def grown(objective: str) -> xgboost.Booster:
    """A few trees of a kind."""
    told = {"objective": objective, "max_depth": 4, "nthread": 1} | ({"num_class": 3} if "multi" in objective else {})
    matrix = xgboost.DMatrix(ROWS, KINDS[objective], qid=np.arange(700) // 10 if "rank" in objective else None)
    return xgboost.train(told, matrix, num_boost_round=12)


@pytest.mark.parametrize("objective", KINDS)
def test_answers_are_those_of_the_python_interface_to_the_bit(objective: str) -> None:
    booster = grown(objective)
    for rows in (ROWS, ROWS[:1], ROWS[:64], ROWS[5:200:3], np.asfortranarray(ROWS[:9])):
        told = booster.inplace_predict(np.ascontiguousarray(rows, dtype=np.float32))
        found = predicted(booster, rows)
        assert found.dtype == np.float64
        assert found.shape == told.shape
        assert np.array_equal(found, told)


def test_no_rows_get_no_answers_and_others_widths_none_either() -> None:
    booster = grown("binary:logistic")
    assert predicted(booster, ROWS[:0]).shape == (0,)
    assert predicted(grown("multi:softprob"), ROWS[:0]).shape == (0, 3)
    for rows in (ROWS[:, :4], np.hstack([ROWS, ROWS]), ROWS[0]):
        with pytest.raises(ValueError, match="features for trees of 5"):
            predicted(booster, rows)


def test_threads_do_not_get_each_others_answers() -> None:
    first, second = grown("binary:logistic"), grown("rank:ndcg")
    expected = {id(booster): booster.inplace_predict(ROWS) for booster in (first, second)}
    asked = [(booster, start) for start in range(300) for booster in (first, second)]

    def same(one: tuple[xgboost.Booster, int]) -> bool:
        booster, start = one
        return np.array_equal(predicted(booster, ROWS[start:]), expected[id(booster)][start:])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(same, asked))


def test_what_the_library_refuses_is_said_in_its_words() -> None:
    booster = grown("binary:logistic")
    booster.handle, kept = None, booster.handle
    try:
        booster.num_features = lambda: 5  # type: ignore[method-assign]
        with pytest.raises(xgboost.core.XGBoostError, match="not been initialized"):
            predicted(booster, ROWS)
    finally:
        booster.handle = kept
