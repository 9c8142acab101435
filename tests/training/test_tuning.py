"""Tuning: found where it is, kept once found, the default where nothing is better, and a best setting on the edge is said."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from training import tuning
from training.boosting import DEFAULTS, Recipe, trees_by_early_stopping
from training.datasets import Examples
from training.tuning import SPACE, UNTUNED, Fold, Range, Search, tuned

OBJECTIVE = {"objective": "binary:logistic", "eval_metric": "logloss", "nthread": 1}
RECIPE = Recipe("xgboost", OBJECTIVE, seed=5)
KNOWN = {"facts": "f1", "contract": "c1"}
TARGET = {"learning_rate": 0.05, "depth": 3.0, "rows_in_leaf": 200.0, "row_share": 0.9, "feature_share": 0.3, "l2": 3.0}


def rows(count: int, seed: int) -> Examples:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(count, 5)).astype(np.float32)
    happened = generator.random(count) < 1 / (1 + np.exp(-matrix[:, 0]))
    return Examples(np.array([f"m{i}" for i in range(count)]), np.zeros(count, dtype=np.int32), matrix, happened)


def folds() -> list[Fold]:
    return [Fold(rows(300, 1), rows(200, 2)), Fold(rows(300, 3), rows(200, 4))]


def no_folds() -> list[Fold]:
    raise AssertionError("searched again")


def bowl(recipe: Recipe, fitted: Examples, later: Examples) -> tuple[int, float]:
    """A loss whose lowest point is known: distance to `TARGET` on the scale searched."""
    chosen: Mapping[str, float] = {**DEFAULTS, **recipe.parameters}
    return 50, sum((width.place(chosen[name]) - width.place(TARGET[name])) ** 2 for name, width in SPACE.items())


def test_the_lowest_point_is_approached_and_the_table_holds_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "trees_by_early_stopping", bowl)
    found = tuned(RECIPE, folds, search=Search(60), model="churn", known=KNOWN)

    assert len(found.trials) == 60
    assert found.default_loss == pytest.approx(bowl(RECIPE, *[rows(1, 0)] * 2)[1])
    assert found.loss == min(row["loss"] for row in found.trials) < found.default_loss / 2
    assert found.parameters["depth"] in {2.0, 3.0, 4.0}
    assert found.at_edge == ()


def test_nothing_better_than_the_default_ships_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def flat(recipe: Recipe, fitted: Examples, later: Examples) -> tuple[int, float]:
        calls.append(1)
        return 10, 0.5

    monkeypatch.setattr(tuning, "trees_by_early_stopping", flat)
    found = tuned(RECIPE, folds, search=Search(4), model="churn", known=KNOWN)

    assert dict(found.parameters) == {}
    assert found.loss == found.default_loss == 0.5
    assert len(calls) == 4 * len(folds())


def test_a_best_setting_on_the_edge_is_said_unless_the_edge_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def wants_more(recipe: Recipe, fitted: Examples, later: Examples) -> tuple[int, float]:
        chosen = {**DEFAULTS, **recipe.parameters}
        return 10, -chosen["l2"] - chosen["row_share"]

    monkeypatch.setattr(tuning, "trees_by_early_stopping", wants_more)
    space = {"l2": Range(9.0, 11.0, whole=True), "row_share": Range(0.5, 1.0, hard_high=True)}
    found = tuned(RECIPE, folds, search=Search(60, space=space), model="churn", known=KNOWN)

    assert found.at_edge == ("l2 11, searched up to 11",)
    assert "l2 11" in str(found.record()["tuning_at_edge"])


def test_a_search_is_kept_and_asked_for_again_it_is_read(tmp_path: Path) -> None:
    search = Search(3, tmp_path / "tuning")
    first = tuned(RECIPE, folds, search=search, model="churn", known=KNOWN)
    again = tuned(RECIPE, no_folds, search=search, model="churn", known=KNOWN)

    assert again == first
    (path,) = (tmp_path / "tuning").iterdir()
    assert path.name.startswith("churn-xgboost-")
    assert len(json.loads(path.read_text())["trials"]) == 3


@pytest.mark.parametrize("change", ["facts", "model", "engine", "trials", "space"])
def test_anything_else_is_searched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    monkeypatch.setattr(tuning, "trees_by_early_stopping", bowl)
    tuned(RECIPE, folds, search=Search(2, tmp_path), model="churn", known=KNOWN)
    narrow = {**SPACE, "l2": Range(1.0, 20.0)}
    tuned(
        Recipe("lightgbm", {}, seed=5) if change == "engine" else RECIPE,
        folds,
        search=Search(3 if change == "trials" else 2, tmp_path, narrow if change == "space" else SPACE),
        model="tier" if change == "model" else "churn",
        known={**KNOWN, "facts": "f2"} if change == "facts" else KNOWN,
    )

    assert len(list(tmp_path.iterdir())) == 2


def test_the_same_seed_searches_the_same_way() -> None:
    one, other = (tuned(RECIPE, folds, search=Search(4), model="churn", known=KNOWN) for _ in range(2))

    assert one == other
    assert one.trials[0]["loss"] == pytest.approx(
        np.mean([trees_by_early_stopping(RECIPE, fold.fitted, fold.later)[1] for fold in folds()])
    )


def test_large_folds_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def measured(recipe: Recipe, fitted: Examples, later: Examples) -> tuple[int, float]:
        sizes.append((len(fitted), len(later)))
        return 10, 0.5

    monkeypatch.setattr(tuning, "trees_by_early_stopping", measured)
    monkeypatch.setattr(tuning, "MOST_ROWS", 250)
    tuned(RECIPE, folds, search=Search(1), model="churn", known=KNOWN)

    assert sizes == [(250, 200), (250, 200)]


def test_no_trials_search_nothing() -> None:
    assert tuned(RECIPE, no_folds, search=Search(), model="churn", known=KNOWN) is UNTUNED
