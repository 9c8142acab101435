"""Everyone's lists of a night, block by block, with the candidates that lists of the next day are made from."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.predictors.histories import Histories
from training.predictors.list_features import FEATURES
from training.predictors.list_sources import Candidates, Depths
from training.predictors.lists import BLOCK, RankedLists, Recommender
from training.predictors.packed_history import Kept
from training.predictors.trees import Scores

KEPT = 100
"""Candidates kept of each member, twice the longest list: the best, and last the new one that is most to their taste."""
_TASTE = FEATURES.index("taste")


@dataclass(frozen=True, slots=True)
class NightlyBlock:
    """Some members with their lists, and their best candidates: those of member i stand at [starts[i], starts[i + 1])."""

    histories: Histories
    lists: RankedLists
    starts: NDArray[np.int64]
    candidates: Kept

    def kept(self, member: int) -> Kept:
        """The candidates of one member."""
        part = slice(int(self.starts[member]), int(self.starts[member + 1]))
        return Kept(self.candidates.items[part], self.candidates.found_by[part])


def nightly_blocks(
    recommender: Recommender, histories: Histories, *, k: int, depths: Depths | None = None, threads: int = 1
) -> Iterator[NightlyBlock]:
    """Lists as `Recommender.lists` makes them, and the `KEPT` best candidates of each.

    Parameters
    ----------
    threads
        How many blocks are made at once; trees, products and sums leave the interpreter free for the others. Blocks come in the
        order of their members, and no more than that many wait for whoever takes them.
    """
    if threads == 1:
        yield from (_nightly(recommender, block, k, depths) for block in histories.blocks(BLOCK))
        return
    waiting: deque[Future[NightlyBlock]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for block in histories.blocks(BLOCK):
            waiting.append(pool.submit(_nightly, recommender, block, k, depths))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _nightly(recommender: Recommender, block: Histories, k: int, depths: Depths | None) -> NightlyBlock:
    candidates = recommender.candidates(block, depths=depths)
    scores = recommender.rank(candidates)
    starts, best = best_of_each(candidates, scores, KEPT - 1)
    starts, best = with_their_taste(candidates, starts, best)
    kept = Kept(candidates.items[best], candidates.found_by[best])
    return NightlyBlock(block, recommender.listed(candidates, scores, k=k), starts, kept)


def best_of_each(candidates: Candidates, scores: Scores, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each member's best candidates begin, and their positions, best first; ties by item, as in lists."""
    owners = candidates.owners
    order = np.lexsort((-scores, owners))  # within a member items ascend
    place = np.arange(len(order)) - candidates.starts[owners]
    sizes = np.minimum(np.diff(candidates.starts), count)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), order[place < count]


def with_their_taste(
    candidates: Candidates, starts: NDArray[np.int64], best: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same positions, and after those of each member the new item most to their taste, once more if it is there already."""
    taste = np.where(candidates.is_own, -np.inf, candidates.features[:, _TASTE])
    order = np.lexsort((taste, candidates.owners))
    filled = np.diff(candidates.starts) > 0
    most = order[candidates.starts[1:][filled] - 1]
    return starts + np.concatenate([[0], np.cumsum(filled)]), np.insert(best, starts[1:][filled], most)
