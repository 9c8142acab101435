"""The search for parameters of trees: equal trials for every engine, judged on windows that no test ever sees, kept once found.

Optuna's TPE (Bergstra et al. 2011), seeded, in memory. Trial 0 is the default, and the default ships unless a trial beats it.
"""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from training.boosting import DEFAULTS, Recipe, trees_by_early_stopping
from training.datasets import Examples

MOST_ROWS = 30_000
"""Rows of a fold beyond which a random draw of so many is enough to tell parameters apart."""
AT_EDGE = 0.02
"""Share of a range from its end within which a best setting counts as lying on the edge."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Range:
    """Where one parameter is searched.

    Attributes
    ----------
    hard_low, hard_high
        The end is a limit of its own (a share of 1, a cost bound): lying there does not ask for a wider range.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    hard_low: bool = False
    hard_high: bool = False

    def place(self, value: float) -> float:
        """Where in the range a value lies: 0 at the low end, 1 at the high end, on the scale that is searched."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (at - low) / (high - low)

    def draw(self, trial: optuna.Trial, name: str) -> float:
        """A value of this range for a trial, to four digits."""
        if self.whole:
            return float(trial.suggest_int(name, int(self.low), int(self.high), log=self.log))
        return float(f"{trial.suggest_float(name, self.low, self.high, log=self.log):.4g}")


SPACE: Mapping[str, Range] = {
    "learning_rate": Range(0.015, 0.12, log=True),
    "depth": Range(2, 6, whole=True, hard_low=True, hard_high=True),
    "rows_in_leaf": Range(10, 1000, log=True, whole=True),
    "row_share": Range(0.4, 1.0, hard_high=True),
    "feature_share": Range(0.1, 1.0, log=True, hard_high=True),
    "l2": Range(0.1, 300.0, log=True),
}
"""Neutral names of `boosting.DEFAULTS`; both libraries are searched in the same space."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to fit on, and rows of a later window (or of other members) to judge by."""

    fitted: Examples
    later: Examples


@dataclass(frozen=True, slots=True)
class Search:
    """How much is searched, and where what was found is kept; no trials means the default parameters."""

    trials: int = 0
    folder: Path | None = None
    space: Mapping[str, Range] = field(default_factory=lambda: dict(SPACE))


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found.

    Attributes
    ----------
    parameters
        What ships; empty where nothing beat the default.
    loss, default_loss
        Mean over the folds of the recipe's own metric: of what ships, and of the default. NaN without a search.
    at_edge
        Parameters whose best value lies on an end of their range, with the value, in words.
    trials
        The table of all trials: parameters, loss, rounds.
    """

    parameters: Mapping[str, float]
    loss: float
    default_loss: float
    at_edge: tuple[str, ...]
    trials: tuple[Mapping[str, Any], ...]

    def record(self) -> dict[str, str | float | int]:
        """What a run says of it."""
        return {
            "tuning_trials": len(self.trials),
            "tuning_loss": self.loss,
            "tuning_default_loss": self.default_loss,
            "tuning_at_edge": "; ".join(self.at_edge),
            **{f"tuned_{name}": value for name, value in {**DEFAULTS, **self.parameters}.items()},
        }


UNTUNED = Tuned({}, math.nan, math.nan, (), ())


def tuned(
    recipe: Recipe, folds: Callable[[], Sequence[Fold]], *, search: Search, model: str, known: Mapping[str, str]
) -> Tuned:
    """Parameters for a recipe: those found before on the very same data and space, or those found now.

    Parameters
    ----------
    folds
        Called only if a search is needed. Its rows must all be known before the oldest test window.
    known
        What the data are: hash of the facts, hash of the contract, definition of the label.

    Returns
    -------
    `UNTUNED` if the search has no trials.
    """
    if search.trials < 1:
        return UNTUNED
    path = search.folder / f"{model}-{recipe.engine}-{_key(recipe, search, known)}.json" if search.folder else None
    if path is not None and path.is_file():
        return _read(path)
    found = _searched(recipe, [_drawn(fold, seed=recipe.seed) for fold in folds()], search)
    for edge in found.at_edge:
        logger.warning("%s, %s: best setting on the edge of its range: %s", model, recipe.engine, edge)
    if path is not None:
        _write(path, found)
    return found


def _searched(recipe: Recipe, folds: Sequence[Fold], search: Search) -> Tuned:
    table: list[dict[str, Any]] = []

    def loss(trial: optuna.Trial) -> float:
        chosen = {name: width.draw(trial, name) for name, width in search.space.items()}
        tried = [trees_by_early_stopping(recipe.with_parameters(chosen), fold.fitted, fold.later) for fold in folds]
        mean = float(np.mean([value for _, value in tried]))
        table.append({**chosen, "loss": mean, "trees": [trees for trees, _ in tried]})
        return mean

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=recipe.seed))
    study.enqueue_trial({name: value for name, value in {**DEFAULTS, **recipe.parameters}.items() if name in search.space})
    study.optimize(loss, n_trials=search.trials)
    best = min(table, key=lambda row: float(row["loss"]))
    default = table[0]
    parameters = {} if best is default else {name: best[name] for name in search.space}
    edges = tuple(_edges(parameters, search.space))
    return Tuned(parameters, float(best["loss"]), float(default["loss"]), edges, tuple(table))


def _edges(parameters: Mapping[str, float], space: Mapping[str, Range]) -> list[str]:
    """Settings on an end of their range that is no limit of its own."""
    found = []
    for name, value in parameters.items():
        place = space[name].place(value)
        if place <= AT_EDGE and not space[name].hard_low:
            found.append(f"{name} {value:g}, searched from {space[name].low:g}")
        if place >= 1 - AT_EDGE and not space[name].hard_high:
            found.append(f"{name} {value:g}, searched up to {space[name].high:g}")
    return found


def _drawn(fold: Fold, *, seed: int) -> Fold:
    return Fold(*(_some(rows, seed=seed) for rows in (fold.fitted, fold.later)))


def _some(rows: Examples, *, seed: int) -> Examples:
    if len(rows) <= MOST_ROWS:
        return rows
    kept = np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False))
    return Examples(rows.member_ids[kept], rows.days[kept], rows.matrix[kept], rows.labels[kept])


def _key(recipe: Recipe, search: Search, known: Mapping[str, str]) -> str:
    """Twelve digits over everything that the search depends on."""
    said = {
        "known": dict(known),
        "recipe": asdict(recipe),
        "trials": search.trials,
        "space": {name: asdict(width) for name, width in search.space.items()},
        "defaults": dict(DEFAULTS),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _read(path: Path) -> Tuned:
    content = json.loads(path.read_text())
    return Tuned(**content | {"at_edge": tuple(content["at_edge"]), "trials": tuple(content["trials"])})


def _write(path: Path, found: Tuned) -> None:
    """Whole or not at all, so that a killed run leaves no half of a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(found), indent=1))
    draft.replace(path)
