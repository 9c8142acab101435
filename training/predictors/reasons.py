"""Why a score is what it is: contributions of the features to the logit, summed into stable codes, with words for them.

`explain` answers for any number of rows: by tables, or with `exact=True` by the tree library's own TreeSHAP, for samples and
for checks. The tables are TreeSHAP as well and differ in rounding only (docs/reasons.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import xgboost
from numpy.typing import NDArray

from training.predictors.churn import ChurnPredictor
from training.predictors.reason_codes import CODE_NAMES, CODES, reason_of_feature
from training.predictors.reason_sentences import Language
from training.predictors.reason_tellers import Teller, features_of, teller
from training.predictors.shapley_tables import ShapleyTables
from training.predictors.tier import TierPredictor
from training.predictors.tree_paths import plain_trees
from training.predictors.trees import Matrix, Scores, TreeModel

TOP = 3
Explainable: TypeAlias = ChurnPredictor | TierPredictor
Direction = Literal["raises", "lowers"]


@dataclass(frozen=True, slots=True)
class Explanations:
    """Why each of several rows has its score.

    For churn, `base` and the contributions of a row add up to the logit of its raw probability, before calibration. For tier
    they add up to the logit of lying on the likely tier's side of its border towards the most probable of the others.

    Attributes
    ----------
    codes
        Positions in `reason_codes.CODES` of each row's strongest contributions of either sign, strongest first, shape
        (rows, top); -1 where there are fewer.
    contributions
        What each code adds, in logits, shape (rows, codes).
    base
        What stands before any feature is known, shape (rows,).
    towards, against
        Positions of the two tiers compared; None for churn.
    """

    codes: NDArray[np.intp]
    contributions: NDArray[np.float64]
    base: NDArray[np.float64]
    towards: NDArray[np.int64] | None = None
    against: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.base)

    @property
    def logit(self) -> NDArray[np.float64]:
        """Base and contributions added up, shape (rows,)."""
        return np.asarray(self.base + self.contributions.sum(axis=1))


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of one score. `contribution` is in logits, and `direction` says what it does to the answer."""

    code: str
    contribution: float
    direction: Direction
    actionable: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class _Explainer:
    """What is worked out once for a model. `tables` is None for trees too deep for them: those are left to the library."""

    tables: ShapleyTables | None
    reason_of: NDArray[np.intp]
    base: NDArray[np.float64]


_kept: WeakKeyDictionary[Any, _Explainer] = WeakKeyDictionary()
"""By booster: a model that nobody holds any more is forgotten here as well."""


def explain(
    predictor: Explainable, matrix: Matrix, *, exact: bool = False, top: int = TOP, scores: Scores | None = None
) -> Explanations:
    """Contributions of each code to the score of each row. Columns are `predictor.manifest.features`.

    Parameters
    ----------
    exact
        By the tree library's own TreeSHAP instead of tables: the same to 1e-5, at some twenty times the cost.
    scores
        `predictor.score(matrix)`, where the caller has it: tiers are compared by it.

    TreeSHAP, path dependent: Lundberg et al., From local explanations to global understanding with explainable AI for trees,
    2020.
    """
    explainer = _explainer(predictor.model, predictor.manifest.features)
    margins = _margins(explainer, predictor.model, matrix, exact=exact)
    if isinstance(predictor, ChurnPredictor):
        base = np.full(len(matrix), explainer.base[0])
        return Explanations(_strongest(margins[:, 0], top), margins[:, 0], base)
    towards, against = _compared(predictor, predictor.score(matrix) if scores is None else scores)
    side = np.where(towards > against, 1.0, -1.0)
    border = np.where(towards > against, towards - 1, towards)
    odds = predictor.odds
    contributions = margins[:, 0] * (odds.slope * side)[:, None]
    base = side * (odds.slope * explainer.base[0] - np.array(odds.borders)[border])
    return Explanations(_strongest(contributions, top), contributions, base, towards, against)


def prepare(predictor: Explainable) -> bool:
    """Work out the tables of a model now rather than at its first explanation; False where only the library can explain it."""
    return _explainer(predictor.model, predictor.manifest.features).tables is not None


def write_tables(predictor: Explainable, path: Path) -> str | None:
    """Write the tables of a model for whoever loads it after us; their SHA-256, or None where there can be none."""
    tables = _explainer(predictor.model, predictor.manifest.features).tables
    if tables is None:
        return None
    content = BytesIO()
    np.savez(content, allow_pickle=False, **tables.arrays())
    path.write_bytes(content.getbuffer())
    return sha256(content.getbuffer()).hexdigest()


def take_tables(predictor: Explainable, path: Path, digest: str | None) -> bool:
    """Use tables written by `write_tables` for the same model; without a digest there are none, and the library explains.

    False if the file is not there or not what was written: then they have to be worked out.
    """
    tables = None
    if digest is not None:
        try:
            content = path.read_bytes()
        except OSError:
            return False
        if sha256(content).hexdigest() != digest:
            return False
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            tables = ShapleyTables.from_arrays(arrays)
    _keep(predictor.model, predictor.manifest.features, tables)
    return True


def told(
    explanations: Explanations, matrix: Matrix, features: Sequence[str], language: Language
) -> list[list[tuple[int, float, str]]]:
    """The strongest reasons of each row, strongest first: position in `CODES`, what it adds in logits, and its sentence.

    Parameters
    ----------
    matrix, features
        The rows explained, and the names of their columns; sentences take their numbers from there.
    """
    columns, tellers = _tellers(tuple(features), language)
    rows = zip(explanations.codes.tolist(), explanations.contributions.tolist(), matrix[:, columns].tolist(), strict=True)
    return [[(code, adds[code], tellers[code](values)) for code in codes if code >= 0] for codes, adds, values in rows]


def reasons(explanations: Explanations, matrix: Matrix, features: Sequence[str], language: Language) -> list[list[Reason]]:
    """What `told` tells, by name."""
    return [[_reason(*each) for each in row] for row in told(explanations, matrix, features, language)]


def sentences(explanations: Explanations, matrix: Matrix, features: Sequence[str], language: Language) -> list[list[str]]:
    """The sentences alone of each row's strongest reasons."""
    return [[sentence for _, _, sentence in row] for row in told(explanations, matrix, features, language)]


def _reason(code: int, adds: float, sentence: str) -> Reason:
    return Reason(CODE_NAMES[code], adds, direction(adds), CODES[code].actionable, sentence)


def direction(adds: float) -> Direction:
    """What a contribution does to the answer."""
    return "raises" if adds > 0 else "lowers"


@cache
def _tellers(features: tuple[str, ...], language: Language) -> tuple[NDArray[np.intp], list[Teller]]:
    """The columns that sentences tell, and of each code what says its sentence of their values."""
    needed = {name for code in CODE_NAMES for name in features_of(code)}
    columns = [place for place, name in enumerate(features) if name in needed]
    names = tuple(features[place] for place in columns)
    return np.array(columns, dtype=np.intp), [teller(code, names, language) for code in CODE_NAMES]


def _explainer(model: TreeModel, features: tuple[str, ...]) -> _Explainer:
    if model.booster not in _kept:
        trees = plain_trees(model)
        tables = None if trees is None else ShapleyTables.of(trees, reason_of_feature(features), len(CODES))
        _keep(model, features, tables)
    return _kept[model.booster]


def _keep(model: TreeModel, features: tuple[str, ...], tables: ShapleyTables | None) -> None:
    nothing = np.full((1, len(features)), np.nan, dtype=np.float32)
    _kept[model.booster] = _Explainer(tables, reason_of_feature(features), _tree_shap(model, nothing)[0, :, -1])


def _margins(explainer: _Explainer, model: TreeModel, matrix: Matrix, *, exact: bool) -> NDArray[np.float64]:
    """Contributions of each code to each class's margin, shape (rows, classes, codes)."""
    if explainer.tables is not None and not exact:
        return explainer.tables.contributions(matrix)
    by_feature = _tree_shap(model, matrix)[:, :, :-1]
    summed = np.zeros((*by_feature.shape[:2], len(CODES)))
    for code in range(len(CODES)):
        summed[:, :, code] = by_feature[:, :, explainer.reason_of == code].sum(axis=2)
    return summed


def _tree_shap(model: TreeModel, matrix: Matrix) -> NDArray[np.float64]:
    """The library's own contributions, shape (rows, classes, features + 1), the base last."""
    found: Any
    if isinstance(model.booster, xgboost.Booster):
        found = model.booster.predict(xgboost.DMatrix(matrix, nthread=1), pred_contribs=True)
    else:
        found = model.booster.predict(matrix, pred_contrib=True, num_threads=1)
    return np.asarray(found, dtype=np.float64).reshape(len(matrix), -1, matrix.shape[1] + 1)


def _compared(predictor: TierPredictor, scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The likely tier of each row, and the most probable of the other tiers."""
    towards = predictor.likely_tier(scores)
    others = scores.copy()
    others[np.arange(len(scores)), towards] = -1
    return towards, others.argmax(axis=1).astype(np.int64)


def _strongest(contributions: NDArray[np.float64], top: int) -> NDArray[np.intp]:
    """Codes by size of contribution, ties in the order of `CODES`; those that add nothing are left out as -1."""
    size = np.abs(contributions)
    order = np.argsort(-size, axis=1, kind="stable")[:, :top]
    return np.where(np.take_along_axis(size, order, axis=1) > 0, order, -1)
