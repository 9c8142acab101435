"""One cut-off in time: a catalogue fitted on what was before it, everybody's candidates then, and what they bought after it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from training.lists.behaviour import Behaviour
from training.lists.catalogues import SourceSettings, fitted_catalogue
from training.lists.linear import Linear
from training.lists.windows import Positions, already, bought_in, bought_next, window
from training.predictors.catalogue import Catalogue
from training.predictors.histories import Histories, Numbers
from training.predictors.list_features import candidates_with_features
from training.predictors.list_signals import Signals, signals
from training.predictors.list_sources import Candidates, Depths, Shelves, candidate_pairs
from training.predictors.taste import fold_in

BLOCK = 256
Seen = Callable[[slice, Histories, Signals], None]
"""Who is shown a block of members while its candidates are made."""


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Members who had bought something of the catalogue before `day`, one row each everywhere.

    Attributes
    ----------
    members
        Positions in the behaviour's member ids.
    taste
        Member factors, shape (members, factors).
    bought, basket
        What each bought in the days after the cut-off, and on the first of those on which they bought: 1 where they did,
        shape (members, items).
    before
        What each had bought by then, same shape.
    linear
        EASE as a whole, of which the catalogue keeps the strongest part; None where lists do without.
    """

    day: int
    members: Positions
    histories: Histories
    catalogue: Catalogue
    taste: Numbers
    bought: sparse.csr_matrix
    basket: sparse.csr_matrix
    before: sparse.csr_matrix
    linear: Linear | None

    @property
    def novel(self) -> sparse.csr_matrix:
        """What each bought after the cut-off and had never bought before."""
        new: sparse.csr_matrix = (self.bought - self.bought.multiply(self.before)).tocsr()
        new.eliminate_zeros()
        return new


def cutoff(behaviour: Behaviour, *, day: int, horizon_days: int, settings: SourceSettings, seed: int) -> Cutoff:
    """Everything as of the midnight at which a local day begins; only what is compared with it lies after.

    Raises
    ------
    NotEnoughData
        No item has enough buyers, or the factors of ALS collapse.
    """
    seen = window(behaviour, day=day)
    catalogue, linear = fitted_catalogue(behaviour, seen, settings, seed=seed)
    histories = in_stores_of(catalogue, seen.histories, behaviour)
    return Cutoff(
        day=day,
        members=seen.members,
        histories=histories,
        catalogue=catalogue,
        taste=tastes(catalogue, histories, settings),
        bought=bought_in(behaviour, seen, days=horizon_days),
        basket=bought_next(behaviour, seen, days=horizon_days),
        before=already(seen),
        linear=linear,
    )


def tastes(catalogue: Catalogue, histories: Histories, settings: SourceSettings) -> Numbers:
    """Member factors of everybody; zero where lists do without ALS."""
    if settings.als is None:
        return np.zeros((len(histories), catalogue.factors.shape[1]), dtype=np.float32)
    with threadpool_limits(limits=1, user_api="blas"):  # on so small matrices a second thread only spins
        return fold_in(catalogue.factors, catalogue.rarity, histories, settings.als.weighing)


def in_stores_of(catalogue: Catalogue, histories: Histories, behaviour: Behaviour) -> Histories:
    """Histories whose stores are rows of the catalogue's, -1 for a store that it does not know."""
    known, ids = catalogue.store_ids, behaviour.visits.store_ids
    place = np.full(len(ids) + 1, -1, dtype=np.int32)
    if len(known) and len(ids):
        found = np.searchsorted(known, ids).clip(max=len(known) - 1)
        place[:-1] = np.where(known[found] == ids, found, -1)
    return replace(histories, stores=place[histories.stores])


def candidates_of(of: Cutoff, depths: Depths | None = None, *, seen: Seen = lambda rows, block, found: None) -> Candidates:
    """Candidates of everybody, made block by block; `seen` is shown what is known of every item for each block's members."""
    parts, shelves = [], Shelves.of(of.catalogue)
    for first in range(0, len(of.histories), BLOCK):
        rows = slice(first, min(first + BLOCK, len(of.histories)))
        block = of.histories.of(rows.start, rows.stop)
        found = signals(of.catalogue, block, of.taste[rows])
        marks = candidate_pairs(of.catalogue, shelves, block, found, depths or Depths())
        parts.append(candidates_with_features(of.catalogue, block, found, marks))
        seen(rows, block, found)
    return joined(parts)


def joined(parts: Sequence[Candidates]) -> Candidates:
    """Candidates of several blocks of members as those of one."""
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    return Candidates(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.found_by for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.groups for part in parts]),
    )


def hits(of: sparse.csr_matrix, candidates: Candidates) -> np.ndarray:
    """Whether each candidate is marked in a matrix of members by items."""
    found: np.ndarray = np.asarray(of[candidates.owners, candidates.items]).ravel() > 0
    return found
