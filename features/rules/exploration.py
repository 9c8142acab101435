"""A stated share of places left to chance, each item with the probability by which it came there, so that lists can be judged.

A list is filled beyond its k places by a pool of further items that all rules allow. Each place, those of pinned items apart,
is left to chance with probability `share`; what stands there then is drawn from the pool, none twice. Caps hold however the
draw falls: they hold over list and pool together, and so over every part of both.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.rules.filling import Filling, Rows
from features.rules.shelf import PADDING

CERTAIN = 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """Lists as they are shown.

    Attributes
    ----------
    chosen, position
        As in `Filling`, shape (lists, k).
    propensity
        Probability that this item came to this place; 1 where nothing was left to chance, NaN where there is no item.
    inclusion
        Probability that this item came into this list, wherever: an item of the list proper only ever stands in its own place,
        so policies that would show it elsewhere can be judged by this one alone.
    explored
        Whether chance put it there.
    """

    chosen: Rows
    position: Rows
    propensity: NDArray[np.float64]
    inclusion: NDArray[np.float64]
    explored: NDArray[np.bool_]


def as_filled(filling: Filling, *, k: int) -> Shown:
    """The first k places as they are: nothing left to chance."""
    chosen = filling.chosen[:, :k]
    propensity = np.where(chosen == PADDING, np.nan, CERTAIN)
    return Shown(chosen, filling.position[:, :k], propensity, propensity.copy(), np.zeros(chosen.shape, dtype=np.bool_))


def explored(filling: Filling, *, k: int, share: float, pinned: int, generators: list[np.random.Generator]) -> Shown:
    """Lists of k items in which each place was left to chance with probability `share`.

    A list whose pool has fewer items than it has places open to chance stays as it is: only then would the probabilities not
    be those said.

    Parameters
    ----------
    filling
        Lists filled to k places and the pool.
    pinned
        Items fed first that keep their places: the columns of the first feed.
    generators
        Random numbers, one for each list.
    """
    shown = as_filled(filling, k=k)
    chosen, position, propensity = shown.chosen.copy(), shown.position.copy(), shown.propensity.copy()
    inclusion, by_chance = shown.inclusion, shown.explored
    for which, generator in enumerate(generators):
        places = np.flatnonzero((position[which] >= pinned) & (chosen[which] != PADDING))
        pool = np.flatnonzero(filling.chosen[which, k:] != PADDING) + k
        if len(pool) < len(places) or not len(places):
            continue
        drawn = places[generator.random(len(places)) < share]
        instead = generator.choice(pool, len(drawn), replace=False)
        propensity[which, places] = inclusion[which, places] = 1 - share
        propensity[which, drawn] = share / len(pool)
        inclusion[which, drawn] = share * len(places) / len(pool)
        chosen[which, drawn] = filling.chosen[which, instead]
        position[which, drawn] = filling.position[which, instead]
        by_chance[which, drawn] = True
    return Shown(chosen, position, propensity, inclusion, by_chance)


def generator_of(decision_id: str, row: int) -> np.random.Generator:
    """The random numbers of one list of an answer: the same for the same decision, so that a reply can be made again."""
    digest = hashlib.blake2b(f"{decision_id}:{row}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest)))
