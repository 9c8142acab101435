"""Which items go with several others: by who bought them together, and by taste where nobody did."""

import numpy as np
from numpy.typing import NDArray

from training.predictors.catalogue import Catalogue
from training.predictors.histories import Rows


def alike(catalogue: Catalogue, rows: Rows) -> NDArray[np.float64]:
    """How well each item goes with all of these: mean similarity, then, below all of it, cosine of the factors."""
    bought = np.zeros(len(catalogue))
    there = catalogue.neighbours[rows]
    known = there >= 0
    np.add.at(bought, there[known], catalogue.similarities[rows][known] / len(rows))
    lengths = np.maximum(np.linalg.norm(catalogue.factors, axis=1), 1e-12)
    taste = catalogue.factors @ (catalogue.factors[rows] / lengths[rows, None]).mean(axis=0) / lengths
    faint = np.float64(bought[bought > 0].min(initial=1e-3)) * 0.5
    scores = np.where(bought > 0, bought, faint * (1 + taste.clip(-1, 1)) / 2).clip(0, 1)
    scores[rows] = -1.0
    return scores
