"""ALS set up with care: what a purchase weighs, the factors it gives, and whether they have collapsed."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from features.errors import NotEnoughData
from training.predictors.histories import Histories, Numbers
from training.predictors.taste import Weighing

ITERATIONS = 12
SMALLEST_RANK_SHARE = 0.5
"""Share of its columns that the factor matrix's effective rank must reach; below that the factors have collapsed."""

FEWEST_FACTORS = 4
WEAKER = (1.0, 0.05)
"""Regularisations with which a search may begin where the default leaves no factors: short histories, few members."""
FEW_PAIRS = 1_000_000
"""Up to so many pairs a second thread saves hardly any time: on half a million it took a fifth more of the processors."""


@dataclass(frozen=True, slots=True)
class AlsSettings:
    """How ALS weighs purchases and how many directions it learns."""

    factors: int = 64
    alpha: float = 2.0
    regularization: float = 20.0
    count: str = "slow"
    shape: str = "linear"

    @property
    def weighing(self) -> Weighing:
        """What a bundle needs of it."""
        return Weighing(self.alpha, self.regularization, self.count, self.shape)


def item_factors(histories: Histories, items: int, settings: AlsSettings, *, seed: int, check: bool = True) -> Numbers:
    """Factors of each item, shape (items, factors).

    Parameters
    ----------
    check
        Whether collapsed factors are refused; a baseline is taken as it comes.

    Raises
    ------
    NotEnoughData
        The factors collapse: purchases are too few or too much alike for so many directions.
    """
    rarity = rarities(histories, items)
    confidence = (1 + settings.alpha * settings.weighing.weights(histories, rarity)).astype(np.float32)
    matrix = sparse.csr_matrix((confidence, histories.items, histories.starts), shape=(len(histories), items))
    with threadpool_limits(limits=1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=settings.factors,
            alpha=1.0,
            regularization=settings.regularization,
            iterations=ITERATIONS,
            random_state=seed,
            num_threads=2 if matrix.nnz > FEW_PAIRS else 1,
        )
        model.fit(matrix, show_progress=False)
    found: Numbers = np.ascontiguousarray(model.item_factors, dtype=np.float32)
    if check and has_collapsed(found):
        raise NotEnoughData(
            f"the {settings.factors} factors of ALS collapse: purchases are too few or too much alike",
            remedy="import a longer history, or let lists do without ALS",
        )
    return found


def sound_factors(histories: Histories, items: int, settings: AlsSettings, *, seed: int) -> Numbers:
    """Factors by these settings, or by half as many and half again where they collapse; one column of zeros if all do."""
    return next((factors for _, factors in _halved(histories, items, settings, seed)), np.zeros((items, 1), dtype=np.float32))


def sound_settings(histories: Histories, items: int, settings: AlsSettings, *, seed: int) -> AlsSettings | None:
    """These settings with as many factors as do not collapse, pulled less to zero where few collapse too; None if all do."""
    for regularization in (settings.regularization, *WEAKER):
        pulled = replace(settings, regularization=regularization)
        for sound, _ in _halved(histories, items, pulled, seed):
            return sound
    return None


def _halved(histories: Histories, items: int, settings: AlsSettings, seed: int) -> Iterator[tuple[AlsSettings, Numbers]]:
    """Settings whose factors do not collapse, the most factors first, with the factors."""
    count = settings.factors
    while count > min(items, len(histories)) // 2:  # more directions than that cannot be told apart
        count //= 2
    while count >= FEWEST_FACTORS:
        fewer = replace(settings, factors=count)
        with suppress(NotEnoughData):
            yield fewer, item_factors(histories, items, fewer, seed=seed)
        count //= 2


def rarities(histories: Histories, items: int) -> Numbers:
    """BM25's weight of each item by how few members have it (inverse document frequency), on average 1."""
    members = np.bincount(histories.items, minlength=items)
    weight = np.log1p((len(histories) - members + 0.5) / (members + 0.5))
    return (weight / max(float(weight.mean()), 1e-9)).astype(np.float32)


def has_collapsed(factors: NDArray[np.float32]) -> bool:
    """Whether the factor matrix carries far fewer directions than columns (effective rank, Roy and Vetterli 2007)."""
    columns = factors.astype(np.float64)
    if not np.isfinite(columns).all() or not columns.any():
        return True
    energy = np.sqrt(np.linalg.eigvalsh(columns.T @ columns).clip(min=0))  # singular values, without those of the rows
    share = energy / energy.sum()
    rank = float(np.exp(-(share * np.log(np.maximum(share, 1e-300))).sum()))
    return bool(rank < SMALLEST_RANK_SHARE * factors.shape[1])
