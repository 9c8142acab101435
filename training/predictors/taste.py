"""A member's taste: ALS factors folded in from what they bought, so that the model holds no member and knows newcomers.

Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, 2008.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.predictors.histories import Histories, Numbers

SATURATION = 1.2
"""k1 of BM25 (Robertson and Walker 1994): how soon further purchases of the same item count less."""
TOGETHER = 64
"""Members whose equations are solved at once."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """What an entry of a history weighs. Confidence in it is 1 + alpha * weight; what was never bought has confidence 1.

    Attributes
    ----------
    count
        The number that is weighed: "times", one of the decayed counts "slow" and "fast", or "once", which is 1 whatever was
        bought; interest is added to the first three.
    shape
        "linear", "log", or "bm25", which also weighs by how rare the item is.
    """

    alpha: float
    regularization: float
    count: str
    shape: str

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Weighing":
        """The weighing that stands in a manifest."""
        return cls(
            float(parameters["alpha"]), float(parameters["regularization"]), str(parameters["count"]), str(parameters["shape"])
        )

    def weights(self, histories: Histories, rarity: Numbers) -> Numbers:
        """Weight of each entry; `rarity` is by item of the catalogue."""
        if self.count == "once":
            return np.minimum(histories.times, np.float32(1))
        counted: Numbers = getattr(histories, self.count) + histories.interest
        if self.shape == "log":
            return np.log1p(counted)
        if self.shape == "bm25":
            saturated: Numbers = counted * np.float32(SATURATION + 1) / (counted + np.float32(SATURATION))
            return saturated * rarity[histories.items]
        return counted


def fold_in(
    factors: Numbers,
    rarity: Numbers,
    histories: Histories,
    weighing: Weighing,
    *,
    gram: NDArray[np.float64] | None = None,
) -> Numbers:
    """Member factors that fit the histories, shape (members, factors); zero for a member without any.

    Parameters
    ----------
    gram
        `gram_of` the factors, if it is known already.
    """
    gram = gram_of(factors, weighing.regularization) if gram is None else gram
    extra = weighing.alpha * weighing.weights(histories, rarity).astype(np.float64)
    members = np.zeros((len(histories), factors.shape[1]))
    known = np.flatnonzero(np.diff(histories.starts))
    for some in (known[first : first + TOGETHER] for first in range(0, len(known), TOGETHER)):
        systems, sums = np.empty((len(some), *gram.shape)), np.empty((len(some), len(gram), 1))
        for place, row in enumerate(some.tolist()):
            part = slice(histories.starts[row], histories.starts[row + 1])
            own = factors.take(histories.items[part], axis=0).astype(np.float64)
            weighed = own * np.sqrt(extra[part])[:, None]  # a matrix times its own transpose takes half the work of any two
            systems[place], sums[place, :, 0] = gram + weighed.T @ weighed, (1 + extra[part]) @ own
        members[some] = np.linalg.solve(systems, sums)[:, :, 0]
    return members.astype(np.float32)


def gram_of(factors: Numbers, regularization: float) -> NDArray[np.float64]:
    """What every member shares of the normal equations, shape (factors, factors)."""
    items = factors.astype(np.float64)
    gram: NDArray[np.float64] = items.T @ items + regularization * np.eye(items.shape[1])
    return gram
